"""What a host - the debugger that the plugin runs in - must offer.

A host says what is loaded, reads what only it can read, and takes text; it knows nothing of Lua, and the commands know
nothing of the debugger. All methods are called on the debugger's own thread only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Callable, List, Optional, Protocol, Tuple


class HostError(Exception):
    """The host cannot do what a command needs. One sentence, and what to do next."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Gone(Exception):
    """The target cannot be read any more: the connection has ended, or the process."""


@dataclass(frozen=True)
class Target:
    """What the user has loaded in the debugger: a core file or a process that stands still.

    A process of this machine is read by the library, from /proc/PID/mem; a remote one through the
    debugger.
    """

    core: Optional[str] = None
    pid: int = 0
    remote: str = ""  # what tells connections apart; "" on this machine
    # Another number whenever the process may have changed: it ran, or its memory was written to.
    generation: int = 0
    exe: Optional[str] = None  # the program's file, if the debugger knows one
    sysroot: Optional[str] = None  # prefix for the target's files, if the user set one


@dataclass(frozen=True)
class Region:
    """A mapping of a remote process."""

    start: int
    end: int
    offset: int  # in the file
    permissions: str  # "rw-p", as in /proc/PID/maps
    path: str  # "" if there is none, "[heap]" and the like


@dataclass(frozen=True)
class Thread:
    tid: int
    stack_pointer: int
    program_counter: int
    registers: Tuple[
        int, ...
    ] = ()  # in the order of user_regs_struct, if that is known


@dataclass(frozen=True)
class Process:
    """What only the debugger knows of a process."""

    threads: List[Thread] = field(default_factory=list)
    # Of a remote one:
    regions: List[Region] = field(default_factory=list)
    entry: int = 0  # AT_ENTRY, 0 if it is not known
    # Bytes from an address on, at most as many as wanted; none if the first cannot be read.
    # Raises Gone, and KeyboardInterrupt.
    read: Callable[[int, int], bytes] = lambda address, size: b""


# The order of registers in user_regs_struct, by the names that debuggers have for them.
REGISTERS = {
    "x86_64": (
        "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax "
        "rip cs eflags rsp ss fs_base gs_base ds es fs gs"
    ).split(),
    "i386": "ebx ecx edx esi edi ebp eax ds es fs gs orig_eax eip cs eflags esp ss".split(),
}


class Command(Protocol):
    """A command as the host registers it with the debugger."""

    name: str  # with prefix: "lua-leaks"
    help: str

    def run(self, arguments: str) -> None:
        """Runs the command. Raises HostError, and nothing else, if it failed."""

    def complete(self, text: str) -> List[str]:
        """Words that may stand where the last word of `text` stands, whole."""


class Host(Protocol):
    def target(self) -> Target:
        """What is loaded now. Raises HostError if it is nothing that can be read, or if it runs."""

    def process(self) -> Process:
        """What the debugger knows of the process that `target` tells of. Raises HostError."""

    def thread(self) -> Optional[int]:
        """The native thread that the user has selected, as the kernel numbers it."""

    def write(self, text: str) -> None:
        """Result text. Raises KeyboardInterrupt if the user wants no more of it (pager, Ctrl-C)."""

    def diagnose(self, text: str) -> None:
        """Whole lines of diagnostics, and the progress line."""

    def interrupted(self) -> bool:
        """Whether the user has pressed Ctrl-C since the command began, in a debugger that does not
        make a KeyboardInterrupt of it. Asked some ten times a second while a command runs.
        """

    def colour(self) -> bool:
        """Whether result text goes to a terminal that shows colour."""

    def interactive(self) -> bool:
        """Whether diagnostics go to a terminal, so that a progress line can be rewritten."""

    def register(self, command: Command) -> None:
        """Makes the command known to the debugger."""
