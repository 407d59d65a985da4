"""What cannot be done is said in one sentence, with a hint and status 2, in the shell and in debuggers."""

import json
import os

import pytest

from support import inspect, inspect_in_shell


def check_refused(result):
    assert result.returncode == 2, result.stdout
    assert result.stdout == ""
    check_sentence(result.stderr)


def check_sentence(text):
    lines = text.strip().splitlines()
    assert 1 <= len(lines) <= 4, text
    assert lines[0].startswith("lua-inspect: ")
    assert len(lines) > 1, "a hint says what to do next"
    for word in ("Traceback", "Segmentation", "AddressSanitizer", "(null)", "0x0 "):
        assert word not in text


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no core at all\n" * 1000)
    return path


def test_no_core(text_file):
    check_refused(inspect(text_file, "leaks"))


def test_empty_file(tmp_path):
    (tmp_path / "empty").touch()
    check_refused(inspect(tmp_path / "empty", "leaks"))


def test_a_program_is_no_core():
    check_refused(inspect("/usr/bin/gdb", "leaks"))


def test_folder(tmp_path):
    check_refused(inspect(tmp_path, "leaks"))


def test_missing_file(tmp_path):
    result = inspect(tmp_path / "missing.core", "leaks")
    check_refused(result)
    assert "missing.core" in result.stderr


def test_unreadable_file(tmp_path, text_file):
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    text_file.chmod(0)
    check_refused(inspect(text_file, "leaks"))


def test_core_of_a_machine_that_was_never_tested(foreign_core, tmp_path):
    """A sentence that says which; the same Lua structures may do on it."""
    other = bytearray(foreign_core.read_bytes())
    other[18:20] = (243).to_bytes(2, "little")  # e_machine: EM_RISCV
    (tmp_path / "riscv.core").write_bytes(other)
    result = inspect_in_shell(tmp_path / "riscv.core", "leaks")  # lldb crashes on it
    check_refused(result)
    assert "of a processor on which this was never tested: RISC-V" in result.stderr


def test_core_without_lua(foreign_core):
    check_refused(inspect(foreign_core, "leaks"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["leak"],
        ["leaks", "--no-such-option"],
        ["leaks", "--min-age"],
        ["leaks", "--min-age", "soon"],
        ["leaks", "-k", "-1"],
        ["leaks", "-k", "99999999999999999999"],
        ["leaks", "--through", "telepathy"],
        ["leaks", "--vm", "7"],
        ["leaks", "no_such_tracker"],
        ["leaks", "_G.by_key"],
        ["leaks", "0x10"],
        ["paths"],
        ["paths", "_G."],
        ["paths", "_G.npcs["],
        ["paths", '["unfinished'],
        ["paths", "_G.no_such_field.deeper"],
        ["paths", "_G:upvalue(99)"],
        ["paths", "0x1"],
        ["paths", "0xzz"],
        ["paths", "@99999"],
        ["paths", "a b c"],
        ["help", "no-such-command"],
    ],
    ids=" ".join,
)
def test_bad_arguments(server_core, arguments):
    check_refused(inspect(server_core.path, *arguments))


def test_errors_are_documents_with_json(server_core, tmp_path):
    for arguments in (
        [tmp_path / "missing", "leaks"],
        [server_core.path, "paths", "_G."],
    ):
        result = inspect(*arguments, "--json")
        assert result.returncode == 2
        error = json.loads(result.stdout)["error"]
        assert set(error) >= {"code", "message", "address", "hint"}
        assert error["message"] and error["hint"]


@pytest.mark.parametrize("share", [0.001, 0.02, 0.3, 0.7, 0.95, 0.999])
def test_truncated_core(server_core, tmp_path, share):
    """Works as far as it goes: an answer with faults, or one sentence; never a crash."""
    whole = server_core.path.read_bytes()
    cut = tmp_path / "cut.core"
    cut.write_bytes(whole[: int(len(whole) * share)])
    # Without any memory, lldb cannot tell it from other cores that it has loaded before.
    result = (inspect if share > 0.01 else inspect_in_shell)(cut, "leaks")
    assert result.returncode in (0, 1, 2), result.stderr
    if result.returncode == 2:
        check_refused(result)


@pytest.mark.parametrize(
    "command",
    [
        "lua-leaks --no-such-option",
        "lua-leaks no_such_tracker",
        "lua-paths",
        "lua-paths _G.npcs[",
        "lua-paths @99999",
        'lua-paths ["unfinished',
    ],
)
def test_debuggers_say_the_same(debugger, server_core, command):
    result = debugger.run(command, core=server_core.path)
    assert "Traceback" not in result.stderr and "Python" not in result.stderr
    said = result.stderr[result.stderr.index("lua-inspect: ") :]
    check_sentence(said)


def test_core_without_lua_in_a_debugger(debugger, foreign_core):
    result = debugger.run("lua-leaks", core=foreign_core)
    assert "Traceback" not in result.stderr
    assert "lua-inspect: " in result.stderr and "hint: " in result.stderr
