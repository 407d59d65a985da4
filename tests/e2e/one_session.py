"""Many commands on one opened target, as a debugger has it: in this process, without a debugger."""

import json
import sys

from support import ROOT

sys.path.insert(0, str(ROOT / "plugin"))
from lua_inspect.host import Target  # noqa: E402
from lua_inspect.worker import Errands  # noqa: E402,F401
from lua_inspect.library import ABI, Io, Place, load  # noqa: E402,F401


class Refused(Exception):
    """What the library said instead of an answer."""


class OneSession:
    def __init__(self, core):
        self.core = str(core)
        self.library = load(ROOT / "plugin")
        self.session = None

    def text(self, command, arguments=""):
        output, said = [], []
        io = Io(
            output=lambda piece: output.append(piece) or True,
            diagnostic=lambda piece: said.append(piece),
            progress=lambda phase, share: None,
            cancelled=lambda: False,
            terminal=False,
        )
        invocation = self.library.parse(command, arguments, io)
        if not self.session:
            self.session = invocation.open(Place(Target(self.core)), io)
        status = invocation.run(self.session, io)
        invocation.free()
        if status > 1:
            raise Refused(b"".join(output + said).decode())
        return b"".join(output).decode()

    def document(self, command, arguments=""):
        return json.loads(self.text(command, arguments + " --json"))

    def close(self):
        if self.session:
            self.session.close()
