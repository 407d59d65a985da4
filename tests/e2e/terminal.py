"""A debugger on a terminal: type, and wait for what it says."""

import os
import pty
import select
import time

from support import clean_environment


class Terminal:
    """A debugger on a terminal: type, and wait for what it says."""

    def __init__(self, debugger, core=None, **environment):
        line = debugger.interactive(core)
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(
                clean_environment(**environment), TERM="dumb", COLUMNS="80", LINES="20"
            )
            os.execvp(line[0], line)
        self.text = ""

    def wait_for(self, words, seconds=20):
        end = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < end, f"no {words!r} in {self.text!r}"
            if select.select([self.file], [], [], 0.1)[0]:
                self.text += os.read(self.file, 65536).decode("utf-8", "replace")
        seen, self.text = self.text.split(words, 1)
        return seen + words

    def type(self, text):
        os.write(self.file, text.encode())

    def close(self):
        os.close(self.file)
        os.waitpid(self.pid, 0)
