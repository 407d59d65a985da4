"""What everywhere.py has a debugger run: commands one after the other, as typed, in one gdb or lldb.

A request is a line of JSON on one pipe, {"core", "reload", "line"}; the answer is one on another,
{"output", "error"}, or {"refused"} if the debugger does not load the core. Output is taken where
the debugger puts it: gdb's standard output, lldb's result of a command.
"""

import json
import os
import sys

try:
    import gdb
except ImportError:
    import lldb


class Gdb:
    def __init__(self):
        self.at = 0

    def load(self, core):
        try:
            gdb.execute(f"core-file {core}", to_string=True)
        except gdb.error as error:
            return str(error)
        return None

    def run(self, line):
        self.take()
        error = ""
        try:
            gdb.execute(line)
        except gdb.error as raised:
            error = str(raised)
        return self.take(), error

    def take(self):
        """What has come to standard output, a file, since it was asked last."""
        gdb.flush()
        with open("/proc/self/fd/1", "rb") as file:
            file.seek(self.at)
            text = file.read()
        self.at += len(text)
        return text.decode("utf-8", "backslashreplace")


class Lldb:
    def __init__(self, debugger):
        self.interpreter = debugger.GetCommandInterpreter()

    def handle(self, line):
        result = lldb.SBCommandReturnObject()
        self.interpreter.HandleCommand(line, result)
        return result

    def load(self, core):
        self.handle("target delete --all")
        quoted = core.replace("\\", "\\\\").replace('"', '\\"')
        result = self.handle(f'target create --core "{quoted}"')
        return None if result.Succeeded() else result.GetError() or "no reason given"

    def run(self, line):
        result = self.handle(line)
        return result.GetOutput() or "", (result.GetError() or "").removeprefix(
            "error: "
        )


def serve(debugger):
    requests = os.fdopen(int(os.environ["REQUESTS"]), encoding="utf-8")
    answers = os.fdopen(int(os.environ["ANSWERS"]), "w", encoding="utf-8")
    for text in requests:
        request = json.loads(text)
        refused = debugger.load(request["core"]) if request["reload"] else None
        if refused is None:
            output, error = debugger.run(request["line"])
            answer = {"output": output, "error": error}
        else:
            answer = {"refused": refused}
        print(json.dumps(answer), file=answers, flush=True)


if "gdb" in sys.modules:
    serve(Gdb())


def __lldb_init_module(debugger, session):
    del session
    serve(Lldb(debugger))
