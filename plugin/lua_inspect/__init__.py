"""Lua heaps for Python: of core files in scripts, of whatever is loaded in debuggers.

    import lua_inspect

    with lua_inspect.open("core.4711") as session:     # in a debugger: current()
        print(session.vms)
        for table in session.objects.where(type="table", min_retained=1 << 20):
            print(hex(table.address), table.cls, table.retained)
        print(session.run("leaks")["causes"])

help(lua_inspect.Session), help(lua_inspect.Objects) and help(lua_inspect.Object) tell more.

    api.py       sessions
    objects.py   objects and references
    library.py   ctypes binding of inspect.h; the only file that imports ctypes
    host.py      what a debugger must offer
    commands.py  the commands of the library's table, run for a debugger
    frames.py    Lua calls by C frame, for a debugger's own traceback
    worker.py    long work on a thread of its own

Knowledge of Lua lives in the library; these files carry bytes and text between it and Python.
"""

from .api import Session, Vm, current, open
from .library import Error
from .objects import FLAGS, Object, Objects, Reference, References, Referrers

__all__ = [
    "Error",
    "FLAGS",
    "Object",
    "Objects",
    "Reference",
    "References",
    "Referrers",
    "Session",
    "Vm",
    "current",
    "open",
]
