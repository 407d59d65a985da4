"""What the debugger plugins share: the library's binding, the contract of a host, the commands.

    library.py   ctypes binding of inspect.h; the only file that imports ctypes
    host.py      what a debugger must offer
    commands.py  the commands of the library's table, run for a host

Knowledge of Lua lives in the library; these files carry bytes and text between it and a debugger.
"""
