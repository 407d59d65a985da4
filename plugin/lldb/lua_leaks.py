"""Lua heap analysis in lldb: `command script import plugin/lldb/lua_leaks.py`, then `lua-leaks`.

Works on the core or the process that is loaded, however it was loaded, and follows the user to
another one. A process of this machine is read from /proc; a remote one through lldb.
This file is the adapter, the only one that knows lldb; the commands are in ../lua_inspect/.

lldb collects what a command prints and shows it when the command has ended; what is said on the
way (progress) goes to its error file at once.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import lldb

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
try:
    from lua_inspect import commands
    from lua_inspect.cores import core_argument, is_core, same_memory
    from lua_inspect.host import (
        REGISTERS,
        Command,
        Gone,
        HostError,
        Process,
        Region,
        Target,
        Thread,
    )
finally:
    del sys.path[0]


def mapped_cores() -> Tuple[List[str], bool]:
    """The core files that this process has mapped, as lldb does with every core it has loaded, and
    whether there are mapped files that have been deleted: one of them may be a core."""
    paths: List[str] = []
    are_some_gone = False
    for line in Path("/proc/self/maps").read_bytes().splitlines():
        words = line.split(None, 5)
        if len(words) == 6 and words[5].startswith(b"/"):
            # The kernel writes a newline in a path as \012, and nothing else.
            path = os.fsdecode(words[5].replace(b"\\012", b"\n"))
            if path not in paths and is_core(path):
                paths.append(path)
            elif path.endswith(" (deleted)") and path not in paths:
                are_some_gone = True
    return paths, are_some_gone


def modules_held(debugger: Any) -> Dict[str, int]:
    """How often lldb refers to each module that it has in memory: cores are modules, too, and one
    that is no longer loaded stays, with a reference less."""
    result = lldb.SBCommandReturnObject()
    debugger.GetCommandInterpreter().HandleCommand(
        "target modules list -g -r -f", result
    )
    listed = re.findall(
        r"^\[ *\d+\] \{(\d+)\} (.*?) *$", result.GetOutput() or "", re.M
    )
    return {os.path.realpath(path): int(count) for count, path in listed}


def core_path(process: Any, debugger: Any) -> str:
    """The file of a core that is loaded; lldb tells it from version 17 on.

    Before that it is one of those that lldb has mapped, or read if it is tiny. When there are
    several, it is the one that holds the memory that lldb shows; of copies the one that is in use.
    """
    if hasattr(process, "GetCoreFile"):
        return str(process.GetCoreFile().fullpath)

    def read(address: int, size: int) -> bytes:
        error = lldb.SBError()
        return process.ReadMemory(address, size, error) or b""

    paths, are_some_gone = mapped_cores()
    if len(paths) != 1 or are_some_gone:
        held = modules_held(debugger)
        paths += [path for path in held if path not in paths and is_core(path)]
        paths.sort(key=lambda path: -held.get(path, 0))
    if len(paths) > 1 or are_some_gone:
        paths = [path for path in paths if same_memory(path, read)]
    if paths:
        return paths[0]
    raise HostError(
        "the core file that lldb has loaded is no longer there",
        "load the core again with `target create --core FILE`",
    )


def program(target: Any) -> Optional[str]:
    """The program's file. Without one, lldb takes the first file of the core's list, whatever
    that is; a program names its interpreter, or none and has no dynamic section."""
    module = target.FindModule(target.GetExecutable())
    is_program = (
        module.FindSection(".interp").IsValid()
        or not module.FindSection(".dynamic").IsValid()
    )
    path = str(target.GetExecutable().fullpath or "")
    return path if is_program and os.path.isfile(path) else None


def put(file: Any, text: str) -> None:
    """Writes to one of lldb's files, which may take only a part at a time."""
    rest = text.encode("utf-8", "backslashreplace")
    while rest:
        error, count = file.Write(rest)
        if error.Fail() or not count:
            break
        rest = rest[count:]
    file.Flush()


def status_field(pid: int, name: str) -> int:
    """A number in /proc/PID/status, 0 if there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text("utf-8", "replace")
    except OSError:
        return 0
    match = re.search(rf"^{name}:\s*(\d+)", text, re.MULTILINE)
    return int(match[1]) if match else 0


def is_local(process: Any) -> bool:
    """Whether it is a process of this machine. lldb holds those through a server that it has
    started itself; one that the user has connected to may be anywhere."""
    tracer = status_field(process.GetProcessID(), "TracerPid")
    return bool(tracer) and status_field(tracer, "PPid") == os.getpid()


def check_stands_still(process: Any) -> None:
    if process.GetState() in (lldb.eStateStopped, lldb.eStateCrashed):
        return
    state = lldb.SBDebugger.StateAsCString(process.GetState())
    raise HostError(
        f"process {process.GetProcessID()} is {state}, not stopped",
        "stop it: `process interrupt`",
    )


def region(info: Any) -> Region:
    permissions = "".join(
        letter if has() else "-"
        for letter, has in (
            ("r", info.IsReadable),
            ("w", info.IsWritable),
            ("x", info.IsExecutable),
        )
    )
    start, end = info.GetRegionBase(), info.GetRegionEnd()
    return Region(start, end, 0, permissions + "p", info.GetName() or "")


def regions(process: Any) -> List[Region]:
    """The mappings of a remote process. lldb tells no offsets in files; where the mappings of a
    file begin is what the library needs, the others count from there."""
    found: List[Region] = []
    bases: Dict[str, int] = {}
    listing = process.GetMemoryRegions()
    info = lldb.SBMemoryRegionInfo()
    for index in range(listing.GetSize()):
        if listing.GetMemoryRegionAtIndex(index, info) and info.IsMapped():
            each = region(info)
            base = bases.setdefault(each.path, each.start)
            offset = each.start - base if each.path.startswith("/") else 0
            found.append(
                Region(each.start, each.end, offset, each.permissions, each.path)
            )
    return found


def entry(target: Any) -> int:
    module = target.FindModule(target.GetExecutable())
    address = module.GetObjectFileEntryPointAddress().GetLoadAddress(target)
    return 0 if address == lldb.LLDB_INVALID_ADDRESS else int(address)


def register(frame: Any, name: str) -> int:
    value = frame.FindRegister("rflags" if name == "eflags" else name)
    return int(value.GetValueAsUnsigned()) if value.IsValid() else 0


def describe(thread: Any, family: str) -> Thread:
    frame = thread.GetFrameAtIndex(0)
    return Thread(
        tid=thread.GetThreadID(),
        stack_pointer=frame.GetSP(),
        program_counter=frame.GetPC(),
        registers=tuple(register(frame, name) for name in REGISTERS.get(family, ())),
    )


class LldbHost:
    def __init__(self, debugger: Any) -> None:
        self.debugger = debugger
        self.result: Any = None  # of the command that runs

    def target(self) -> Target:
        target = self.debugger.GetSelectedTarget()
        process = target.GetProcess()
        is_core_loaded = process.IsValid() and process.GetPluginName() == "elf-core"
        if not is_core_loaded and not process.GetProcessID():  # 0 without a process
            core = None if target.IsValid() else core_argument()
            if core is not None:
                return Target(core, sysroot=self._sysroot())
            raise HostError(
                "no core file is loaded",
                "load one with `target create --core FILE`, "
                "or `process attach -p PID` to a process",
            )
        exe, sysroot = program(target), self._sysroot()
        if is_core_loaded:  # its number may not be in the core
            return Target(core_path(process, self.debugger), exe=exe, sysroot=sysroot)
        check_stands_still(process)
        remote = "" if is_local(process) else f"remote {process.GetUniqueID()} "
        pid, stops = process.GetProcessID(), process.GetStopID(True)
        return Target(None, pid, remote, stops, exe, sysroot)

    def process(self) -> Process:
        target = self.debugger.GetSelectedTarget()
        process = target.GetProcess()
        family = target.GetTriple().split("-")[0].replace("i686", "i386")
        threads = sorted(
            (describe(thread, family) for thread in process),
            key=lambda thread: thread.tid,
        )
        if is_local(process):
            return Process(threads)

        def read(address: int, size: int) -> bytes:
            error = lldb.SBError()
            content = process.ReadMemory(address, size, error)
            if not content and process.GetState() != lldb.eStateStopped:
                raise Gone
            return content or b""

        return Process(threads, regions(process), entry(target), read)

    def _sysroot(self) -> Optional[str]:
        """The folder given with `platform select --sysroot`."""
        result = lldb.SBCommandReturnObject()
        self.debugger.GetCommandInterpreter().HandleCommand("platform status", result)
        for line in (result.GetOutput() or "").splitlines():
            name, _, value = line.strip().partition(": ")
            if name == "Sysroot" and os.path.isdir(value) and value != "/":
                return value
        return None

    def thread(self) -> Optional[int]:
        process = self.debugger.GetSelectedTarget().GetProcess()
        thread = process.GetSelectedThread()
        return thread.GetThreadID() if thread.IsValid() else None

    def write(self, text: str) -> None:
        if self.interrupted():  # then lldb throws away what it has collected
            put(self.debugger.GetOutputFile(), text)
        else:
            self.result.write(text)

    def diagnose(self, text: str) -> None:
        put(self.debugger.GetErrorFile(), text)

    def interrupted(self) -> bool:
        return bool(self.debugger.GetCommandInterpreter().WasInterrupted())

    def colour(self) -> bool:
        return (
            os.isatty(1)
            and self.debugger.GetUseColor()
            and not os.environ.get("NO_COLOR")
        )

    def interactive(self) -> bool:
        return os.isatty(2)

    def register(self, command: Command) -> None:
        class_name = "Command_" + command.name.replace("-", "_")
        members = {"host": self, "command": command, "__doc__": command.help}
        globals()[class_name] = type(class_name, (LldbCommand,), members)
        self.debugger.HandleCommand(
            f"command script add --overwrite --class {__name__}.{class_name} {command.name}"
        )


class LldbCommand:
    """Of each command a class is made: lldb wants its name."""

    host: LldbHost
    command: Command

    def __init__(self, debugger: Any, session: Dict[str, Any]) -> None:
        del debugger, session

    def __call__(
        self, debugger: Any, arguments: str, context: Any, result: Any
    ) -> None:
        del context
        self.host.debugger, self.host.result = debugger, result
        result.SetStatus(lldb.eReturnStatusSuccessFinishResult)
        try:
            self.command.run(arguments)
        except HostError as error:
            result.SetError(error.message)
        except KeyboardInterrupt:
            result.SetError("interrupted")

    def get_short_help(self) -> str:
        return self.command.help.split("\n", 1)[0].partition(" - ")[2]

    def get_long_help(self) -> str:
        return self.command.help


def __lldb_init_module(debugger: Any, session: Dict[str, Any]) -> None:
    del session
    try:
        commands.register(LldbHost(debugger))
    except HostError as error:
        LldbHost(debugger).diagnose(error.message + "\n")
