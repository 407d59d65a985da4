"""The plugin in gdb: the same bytes as the shell, however the core was loaded, and no traceback."""

import json
import os
import pty
import re
import select
import shutil
import subprocess
import time

import pytest

from support import (
    MARK,
    PLUGIN,
    clean_environment,
    document,
    gdb,
    gdb_output,
    inspect,
)

COMMANDS = [
    ("leaks", ""),
    ("leaks", "--json"),
    ("leaks", "--all-weak"),
    ("leaks", '--description "npc*"'),
    ("leaks", "registry_tracker --min-age 0"),
    ("states", ""),
    ("states", "--json"),
    ("bt", "--all --locals"),
    ("coroutines", "--json"),
    ("heap", "--by shape --limit 5"),
    ("heap", "--json"),
    ("tables", "--waste"),
    ("strings", ""),
    ("globals", ""),
    ("triage", ""),
    ("triage", "--json"),
    ("registry", ""),
    ("paths", "_G.test_table"),
    ("paths", 'package.loaded["game.arena"].listeners -k 3'),
]


def shell_words(arguments):
    """As a shell would split them, for arguments whose quotes belong to the path."""
    return arguments.replace('"npc*"', "npc*").split()


@pytest.mark.parametrize("command, arguments", COMMANDS, ids=lambda part: part or "-")
def test_same_bytes_as_the_shell(server_core, command, arguments):
    core = server_core.path
    if command == "help":
        if not arguments:
            pytest.skip(
                "help without a command names the commands as the host spells them"
            )
        text = gdb_output(f"lua-help {arguments}", ["-c", core])
        assert "lua-leaks" in text
        return
    expected = inspect(core, command, *shell_words(arguments)).stdout
    assert expected
    assert gdb_output(f"lua-{command} {arguments}", ["-c", core]) == expected


def test_entries_of_lists_have_numbers(server_core):
    """@N is entry N of the last list: a member of a class, a table, a global."""
    for command in ("heap --sort name", "globals"):
        first = inspect(server_core.path, *command.split(), "--json").stdout
        rows = json.loads(first)
        rows = rows.get("groups") or [r for r in rows["globals"] if r["address"]]
        address = rows[1].get("example") or rows[1]["address"]
        shown = gdb(f"lua-{command}", "lua-paths @2", start=["-c", server_core.path])
        assert f"\n{address}   " in shown.stdout, command


def test_however_the_core_was_loaded(server_core):
    core = server_core.path
    expected = inspect(core, "leaks").stdout
    assert gdb_output("lua-leaks", ["lua5.4", core]) == expected
    assert (
        gdb_output("lua-leaks", [core]) == expected
    )  # gdb itself takes it for a program
    result = gdb(f"core-file {core}", f"echo {MARK}\\n", "lua-leaks")
    assert result.stdout.split(MARK + "\n", 1)[1] == expected


def test_plugin_loaded_by_x_and_twice(server_core):
    line = [
        "gdb",
        "-nx",
        "-q",
        "-batch",
        "-c",
        server_core.path,
        "-x",
        PLUGIN,
        "-x",
        PLUGIN,
    ]
    result = subprocess.run(
        [*map(str, line), "-ex", "lua-leaks"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    assert result.stdout.endswith(inspect(server_core.path, "leaks").stdout)
    assert "Traceback" not in result.stderr


def test_paths_with_blanks_and_quotes(server_core, tmp_path):
    folder = tmp_path / "a 'quoted' \"folder\"', file type x"
    folder.mkdir()
    core = folder / "my `core'"
    shutil.copy2(server_core.path, core)
    expected = inspect(core, "leaks").stdout
    assert gdb_output("lua-leaks", ["-ex", "set width 20", "-c", core]) == expected


def test_another_core_in_the_same_gdb(server_core, make_core):
    other = make_core("game_server.lua", "gcore").path
    result = gdb(
        f"core-file {server_core.path}",
        f"echo {MARK}\\n",
        "lua-leaks",
        f"echo {MARK}\\n",
        f"core-file {other}",
        f"echo {MARK}\\n",
        "lua-leaks",
    )
    _, first, _, second = result.stdout.split(MARK + "\n")
    assert first == inspect(server_core.path, "leaks").stdout
    assert second == inspect(other, "leaks").stdout


def test_no_core_loaded():
    result = gdb("lua-leaks")
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "lua-inspect: no core file is loaded",
        "  hint: load one with `core-file FILE`",
    ]


def test_core_file_that_went_away(server_core, tmp_path):
    core = tmp_path / "gone.core"
    shutil.copy2(server_core.path, core)
    result = gdb(f"shell rm {core}", "lua-leaks", start=["-c", core])
    assert "Traceback" not in result.stderr
    assert f"lua-inspect: the core file {core} is no longer there" in result.stderr


def test_help_command():
    assert "lua-leaks" in gdb_output("lua-help", [])
    # gdb takes the indentation off what `help` shows.
    unindented = [
        line.strip() for line in gdb_output("lua-help leaks", []).splitlines()
    ]
    shown = [line.strip() for line in gdb_output("help lua-leaks", []).splitlines()]
    assert unindented == shown


def test_help_is_the_tables():
    text = gdb("help lua-leaks").stdout
    shell = inspect("help", "leaks").stdout
    assert "lua-leaks" in text and len(text.splitlines()) > 10
    # gdb takes the indentation off; the words are those of the shell's help.
    words = [re.sub("lua-(?:inspect)?", "", line).split() for line in (text, shell)]
    assert set(words[0]) & set(words[1]) > {"--min-age", "--description", "--all-weak"}


@pytest.mark.parametrize(
    "line, words",
    [
        ("lua-leaks --", {"--min-age", "--description", "--all-weak", "--json"}),
        ("lua-leaks --min", {"--min-age"}),
        ("lua-leaks _G.npcs[42] --min-", {"--min-age"}),
        ("lua-paths --th", {"--through"}),
        ("lua-", {"lua-leaks", "lua-paths", "lua-states", "lua-help"}),
        ("lua-help lea", {"leaks"}),
    ],
)
def test_completion(line, words):
    found = gdb(f"complete {line}").stdout.splitlines()
    start = line.rpartition(" ")[0]
    assert words <= {candidate[len(start) :].strip() for candidate in found}
    assert all(candidate.startswith(line) for candidate in found)


def test_diff_with_itself(server_core):
    core = server_core.path
    text = gdb_output(f"lua-diff {core}", ["-c", core])
    assert text == inspect(core, "diff", core).stdout
    assert "no differences" in text


def test_completion_of_files():
    found = gdb("complete lua-leaks --exe /usr/bin/lua5").stdout.splitlines()
    assert "lua-leaks --exe /usr/bin/lua5.4" in found
    found = gdb("complete lua-diff /usr/bin/lua5").stdout.splitlines()
    assert "lua-diff /usr/bin/lua5.4" in found


# ---- With a stand-in for the library: what a real core is too quick for


def with_library(path):
    return clean_environment(LUA_INSPECT_LIBRARY=str(path))


@pytest.mark.parametrize("library", ["/no/such/library.so", "/usr/bin/lua5.4"])
def test_library_that_cannot_be_loaded(library):
    result = gdb(env=with_library(library))
    assert result.stdout == ""
    assert result.stderr.startswith("lua-inspect: libinspect cannot be loaded")
    assert len(result.stderr.splitlines()) == 2 and "hint: " in result.stderr


def test_library_that_is_another():
    result = gdb(env=with_library("libc.so.6"))
    assert result.stderr.splitlines()[0] == "lua-inspect: libc.so.6 is not libinspect"


def test_library_of_another_release(stub):
    path = stub("other.so", "-DSTUB_ABI=99")
    result = gdb("lua-work", env=with_library(path))
    assert result.stderr.startswith(
        f"lua-inspect: {path} has interface 99, this plugin needs 1"
    )
    assert "Traceback" not in result.stderr


def test_sessions_are_kept_until_the_core_changes(stub, server_core, tmp_path):
    core = tmp_path / "changing.core"
    shutil.copy2(server_core.path, core)
    result = gdb(
        "lua-work",
        "lua-work",
        f"shell touch {core}",
        "lua-work",
        start=["-c", core],
        env=with_library(stub("stub.so")),
    )
    runs = [line for line in result.stdout.splitlines() if line.startswith("answer")]
    assert runs == ["answer whole run 1", "answer whole run 2", "answer whole run 1"]


class Terminal:
    """gdb on a terminal: type, and wait for what it says."""

    def __init__(self, core, library):
        line = ["gdb", "-nx", "-q", "-ex", "set confirm off", "-ex", f"source {PLUGIN}"]
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(
                with_library(library), TERM="dumb", COLUMNS="80", LINES="20"
            )
            os.execvp("gdb", [*line, "-c", str(core)])
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


@pytest.fixture
def terminal(stub, server_core):
    terminal = Terminal(server_core.path, stub("stub.so"))
    terminal.wait_for("(gdb) ")
    yield terminal
    terminal.close()


def test_interrupt_gives_the_partial_answer(terminal):
    for run in (1, 2):
        terminal.type("lua-work slow\n")
        terminal.wait_for("s left")  # the progress line, after a second
        terminal.type("\x03")
        terminal.wait_for(f"answer partial run {run}", seconds=5)
        terminal.wait_for("Quit")
        terminal.wait_for("(gdb) ")
    terminal.type("print 40 + 2\n")
    terminal.wait_for("$1 = 42")  # gdb is in order


@pytest.mark.parametrize("key", ["q\n", "\x03"], ids=["q", "Ctrl-C"])
def test_pager_can_be_left(terminal, key):
    terminal.type("set height 10\n")
    terminal.wait_for("(gdb) ")
    terminal.type("lua-work lines\n")
    terminal.wait_for("to quit")
    terminal.type(key)
    shown = terminal.wait_for("(gdb) ")
    assert "line 900" not in shown and "Traceback" not in shown
    terminal.type("print 40 + 2\n")
    terminal.wait_for("$1 = 42")


def test_document_is_one(server_core):
    """--json in gdb is one document, and nothing else, on standard output."""
    answer = document(server_core.path, "leaks")
    assert answer["schema"] == "lua-inspect/1" and answer["command"] == "leaks"
    assert answer["target"]["kind"] == "core"
    assert answer["target"]["path"] == str(server_core.path)
