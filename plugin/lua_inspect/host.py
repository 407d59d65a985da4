"""What a host - the debugger that the plugin runs in - must offer.

A host says which core is loaded and takes text; it knows nothing of Lua, and the commands know
nothing of the debugger. All methods are called on the debugger's own thread only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Optional, Protocol


class HostError(Exception):
    """The host cannot do what a command needs. One sentence, and what to do next."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


@dataclass(frozen=True)
class Target:
    """What the user has loaded in the debugger."""

    core: str
    exe: Optional[str] = None  # the program's file, if the debugger knows one
    sysroot: Optional[str] = None  # prefix for the target's files, if the user set one


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
        """The core that is loaded now. Raises HostError if there is none."""

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
