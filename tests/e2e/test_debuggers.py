"""The plugin in gdb and lldb: the same bytes as the shell, however the core was loaded, and no
traceback."""

import ast
import json
import re
import shutil

import pytest

from debuggers import DEBUGGERS
from live import working
from one_session import ABI
from support import PLUGIN, clean_environment, document, gcore, gdb, gdb_output, inspect
from terminal import Terminal

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


@pytest.fixture(scope="module")
def printed(debugger, server_core):
    """What each of COMMANDS prints, all in one debugger."""
    lines = [f"lua-{command} {arguments}" for command, arguments in COMMANDS]
    return dict(zip(COMMANDS, debugger.outputs(lines, core=server_core.path)))


@pytest.mark.parametrize("case", COMMANDS, ids=lambda case: " ".join(case).strip())
def test_same_bytes_as_the_shell(printed, server_core, case):
    command, arguments = case
    expected = inspect(server_core.path, command, *shell_words(arguments)).stdout
    assert expected
    assert printed[case] == expected


def test_entries_of_lists_have_numbers(debugger, server_core):
    """@N is entry N of the last list: a member of a class, a table, a global."""
    for command in ("heap --sort name", "globals"):
        first = inspect(server_core.path, *command.split(), "--json").stdout
        rows = json.loads(first)
        rows = rows.get("groups") or [r for r in rows["globals"] if r["address"]]
        address = rows[1].get("example") or rows[1]["address"]
        lines = [f"lua-{command}", "lua-paths @2"]
        shown = debugger.outputs(lines, core=server_core.path)[1]
        assert f"\n{address}   " in shown, command


def test_however_the_core_was_loaded(debugger, server_core):
    core = server_core.path
    expected = inspect(core, "leaks").stdout
    assert debugger.output("lua-leaks", core=core, exe="/usr/bin/lua5.4") == expected
    lines = [debugger.load(core), "lua-leaks"]
    assert debugger.outputs(lines)[1] == expected
    if debugger.name == "gdb":  # it takes a single file for a program
        assert gdb_output("lua-leaks", [core]) == expected


def test_plugin_loaded_twice(debugger, server_core):
    result = debugger.run("lua-leaks", core=server_core.path, plugins=2)
    assert result.stdout.endswith(inspect(server_core.path, "leaks").stdout)
    assert "Traceback" not in result.stderr


def test_plugin_as_a_script_of_gdb(server_core):
    result = gdb("lua-leaks", start=["-c", server_core.path, "-x", PLUGIN])
    assert result.stdout.endswith(inspect(server_core.path, "leaks").stdout)


def test_paths_with_blanks_and_quotes(debugger, server_core, tmp_path):
    names = ("a 'quoted' \"folder\"', file type x", "my `core'")
    if debugger.name == "lldb":  # cannot open these itself
        names = ("a 'quoted' folder', file type x", "my core (deleted)")
    (tmp_path / names[0]).mkdir()
    core = tmp_path / names[0] / names[1]
    shutil.copy2(server_core.path, core)
    expected = inspect(core, "leaks").stdout
    assert debugger.output("lua-leaks", core=core) == expected
    if debugger.name == "gdb":
        narrow = ["-ex", "set width 20", "-c", core]
        assert gdb_output("lua-leaks", narrow) == expected


def test_another_core_in_the_same_debugger(debugger, server_core, make_core):
    other = make_core("game_server.lua", "gcore").path
    lines = [
        debugger.load(server_core.path),
        "lua-leaks",
        debugger.load(other),
        "lua-leaks",
    ]
    _, first, _, second = debugger.outputs(lines)
    assert first == inspect(server_core.path, "leaks").stdout
    assert second == inspect(other, "leaks").stdout


def test_two_cores_of_one_process_in_lldb(tmp_path):
    """lldb tells of none where it lies: they are told apart by what is in them."""
    debugger = DEBUGGERS["lldb"]
    first, second = tmp_path / "first.core", tmp_path / "second.core"
    with working(tmp_path) as work:
        gcore(work.process, first)
        work.send()
        work.wait()
        gcore(work.process, second)
    lines = [debugger.load(first), debugger.load(second)]
    for number in (0, 1, 0):
        lines += [f"target select {number}", "lua-states"]
    expected = [inspect(core, "states").stdout for core in (first, second)]
    lines += [debugger.shell(f"rm {first}"), "lua-states"]
    lines += ["target select 1", "lua-states"]
    shown = debugger.outputs(lines)[3::2]
    assert shown == [expected[0], expected[1], expected[0], "", expected[1]]
    assert expected[0] != expected[1]


def test_no_core_loaded(debugger):
    result = debugger.run("lua-leaks")
    said = result.stderr.replace("error: ", "").splitlines()
    assert said[-2:] == [
        "lua-inspect: no core file is loaded",
        f"  hint: load one with {debugger.load_hint}",
    ]


def test_core_file_that_went_away(debugger, server_core, tmp_path):
    core = tmp_path / "gone.core"
    shutil.copy2(server_core.path, core)
    result = debugger.run(debugger.shell(f"rm {core}"), "lua-leaks", core=core)
    assert "Traceback" not in result.stderr
    assert re.search(r"lua-inspect: the core file .* is no longer there", result.stderr)


def test_help_command(debugger):
    assert "lua-leaks" in debugger.output("lua-help")
    # gdb takes the indentation off what `help` shows; lldb breaks its lines.
    words, shown = (
        " ".join(text.split())
        for text in debugger.outputs(["lua-help leaks", "help lua-leaks"])
    )
    assert words in shown


def test_help_is_the_tables(debugger):
    text = debugger.output("help lua-leaks")
    shell = inspect("help", "leaks").stdout
    assert "lua-leaks" in text and len(text.splitlines()) > 10
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


def test_names_of_commands_are_completed_in_lldb():
    """Words of a scripted command are not, in any lldb of Debian 12."""
    code = (
        "m = lldb.SBStringList(); i = lldb.debugger.GetCommandInterpreter(); "
        "i.HandleCompletion('lua-st', 6, 0, -1, m); print(list(m))"
    )
    (found,) = DEBUGGERS["lldb"].outputs([f"script {code}"])
    assert "'lua-states'" in found and "'lua-strings'" in found


def test_result_of_a_command_in_lldb(server_core):
    """What fails says so to scripts, too: on the error stream, and by its status."""
    code = (
        "r = lldb.SBCommandReturnObject(); "
        "_ = lldb.debugger.GetCommandInterpreter().HandleCommand('lua-{}', r); "
        "print([r.Succeeded(), r.GetOutput() or '', r.GetError() or ''])"
    )
    commands = ["states", "leaks --nonsense", "leaks --nonsense --json"]
    lines = ["script " + code.format(command) for command in commands]
    shown = DEBUGGERS["lldb"].outputs(lines, core=server_core.path)
    fine, failed, document = map(ast.literal_eval, shown)
    assert fine == [True, inspect(server_core.path, "states").stdout, ""]
    assert failed[:2] == [False, ""]
    assert failed[2].startswith("error: lua-inspect: unknown option '--nonsense'")
    assert json.loads(document[1])["error"]["code"] == "usage"


def test_diff_with_itself(debugger, server_core):
    core = server_core.path
    text = debugger.output(f"lua-diff {core}", core=core)
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
def test_library_that_cannot_be_loaded(debugger, library):
    result = debugger.run(env=with_library(library))
    assert "lua-inspect" not in result.stdout
    assert result.stderr.startswith("lua-inspect: libinspect cannot be loaded")
    assert len(result.stderr.splitlines()) == 2 and "hint: " in result.stderr


def test_library_that_is_another(debugger):
    result = debugger.run(env=with_library("libc.so.6"))
    assert result.stderr.splitlines()[0] == "lua-inspect: libc.so.6 is not libinspect"


def test_library_of_another_release(debugger, stub):
    path = stub("other.so", "-DSTUB_ABI=99")
    result = debugger.run("lua-work", env=with_library(path))
    assert result.stderr.startswith(
        f"lua-inspect: {path} has interface 99, this plugin needs {ABI}"
    )
    assert "Traceback" not in result.stderr


def test_sessions_are_kept_until_the_core_changes(
    debugger, stub, server_core, tmp_path
):
    core = tmp_path / "changing.core"
    shutil.copy2(server_core.path, core)
    result = debugger.run(
        "lua-work",
        "lua-work",
        debugger.shell(f"touch {core}"),
        "lua-work",
        core=core,
        env=with_library(stub("stub.so")),
    )
    runs = [line for line in result.stdout.splitlines() if line.startswith("answer")]
    assert runs == ["answer whole run 1", "answer whole run 2", "answer whole run 1"]


@pytest.fixture
def terminal_of(stub, server_core):
    opened = []

    def open_terminal(debugger):
        library = str(stub("stub.so"))
        core = server_core.path
        terminal = Terminal(debugger, core, LUA_INSPECT_LIBRARY=library)
        opened.append(terminal)
        terminal.type("print 6 * 7\n")
        terminal.wait_for(" 42")
        terminal.wait_for(debugger.prompt)
        return terminal

    yield open_terminal
    for terminal in opened:
        terminal.close()


def test_interrupt_gives_the_partial_answer(debugger, terminal_of):
    terminal = terminal_of(debugger)
    for run in (1, 2):
        terminal.type("lua-work slow\n")
        terminal.wait_for("s left")  # the progress line, after a second
        terminal.type("\x03")
        terminal.wait_for(f"answer partial run {run}", seconds=5)
        terminal.wait_for("Quit" if debugger.name == "gdb" else "Interrupted")
        terminal.wait_for(debugger.prompt)
    terminal.type("print 40 + 3\n")
    terminal.wait_for(" 43")  # the debugger is in order


@pytest.mark.parametrize("key", ["q\n", "\x03"], ids=["q", "Ctrl-C"])
def test_pager_of_gdb_can_be_left(terminal_of, key):
    terminal = terminal_of(DEBUGGERS["gdb"])
    terminal.type("set height 10\n")
    terminal.wait_for("(gdb) ")
    terminal.type("lua-work lines\n")
    terminal.wait_for("to quit")
    terminal.type(key)
    shown = terminal.wait_for("(gdb) ")
    assert "line 900" not in shown and "Traceback" not in shown
    terminal.type("print 40 + 2\n")
    terminal.wait_for(" = 42")


def test_document_is_one(server_core):
    """--json in gdb is one document, and nothing else, on standard output."""
    answer = document(server_core.path, "leaks")
    assert answer["schema"] == "lua-inspect/1" and answer["command"] == "leaks"
    assert answer["target"]["kind"] == "core"
    assert answer["target"]["path"] == str(server_core.path)
