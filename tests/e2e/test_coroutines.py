"""`coroutines` counts what the program counted, and `bt` finds the native thread of each VM."""

import shutil
import subprocess
import time
from pathlib import Path

import pytest
from dumped import dumped
from minicore import write_core
from support import clean_environment, document, gcore, gdb, inspect

FOLDER = Path(__file__).parent
SPIN = """
local function spin(n)
  local x = 0
  while true do
    x = x + n
    if x > 1e15 then x = 0 end
  end
end
print("READY") io.stdout:flush()
local co = coroutine.wrap(function(...) spin(select("#", ...)) end)
co(1, 2, 3)
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    """The core of coroutines.lua, and what it said: (state, line) -> count and the oldest."""
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    core = tmp_path_factory.mktemp("coroutines") / "coroutines.core"
    said = {}
    with subprocess.Popen(
        ["lua5.4", FOLDER / "coroutines.lua"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    ) as process:
        for line in process.stdout:
            if line == "READY\n":
                break
            _, name, count, oldest = line.split("\t")
            state, number = name.split()
            said[state, int(number)] = int(count), oldest.strip()
        write_core(process.pid, core)
        process.communicate("\n", timeout=60)
    return core, said


def line_of(group):
    return int(group["main"].split(":")[1]) if group["main"] else 0


def state_of(group):
    """coroutine.status has fewer words."""
    return {"not-started": "suspended", "error": "dead", "finished": "dead"}.get(
        group["status"], group["status"]
    )


def test_counts_are_those_of_the_program(counted):
    core, said = counted
    answer = document(core, "coroutines")
    found = {
        (state_of(g), line_of(g)): (g["count"], g["oldest"]["address"])
        for g in answer["groups"]
    }
    assert found == said
    assert answer["coroutines"] == sum(count for count, _ in said.values())
    assert answer["bytes"] == sum(group["bytes"] for group in answer["groups"])
    assert all(group["garbage"] == 0 for group in answer["groups"])


def test_by_one_key(counted):
    core, said = counted
    by_status = document(core, "coroutines", "--by", "status")["groups"]
    assert {g["status"]: g["count"] for g in by_status} == {
        "suspended": 70,
        "not-started": 5,
        "error": 7,
        "finished": 3,
    }
    assert all(group["main"] is None for group in by_status)
    by_main = document(core, "coroutines", "--by", "main")["groups"]
    assert {line_of(g): g["count"] for g in by_main} == {
        line: count for (_, line), (count, _) in said.items()
    }
    assert all(group["status"] is None for group in by_main)


def test_retained_bytes_and_places(counted):
    core, _ = counted
    answer = document(core, "coroutines")
    retained = [group["retained_bytes"] for group in answer["groups"]]
    assert retained == sorted(retained, reverse=True)
    first = answer["groups"][0]  # strings of 1000, 2000, ... 20000 bytes
    assert first["count"] == 20 and 210_000 < first["retained_bytes"] < 240_000
    assert first["biggest"]["retained_bytes"] > 20_000
    (place,) = first["places"]
    assert place["count"] == 20 and place["place"].endswith(" in upvalue 'wait'")
    again = document(core, "bt", first["biggest"]["address"], "--locals")
    (stack,) = again["stacks"]
    assert stack["status"] == "suspended"
    held = stack["frames"][1]["locals"][1]
    assert held["name"] == "held" and held["value"].endswith("-- 20000 bytes")


def test_limit(counted):
    core, said = counted
    answer = document(core, "coroutines", "--limit", 2)
    assert len(answer["groups"]) == 2 and answer["more"] == len(said) - 2
    assert (
        f"{len(said) - 2} more groups: --limit N"
        in inspect(core, "coroutines", "--limit", 2).stdout
    )
    stacks = document(core, "bt", "--all", "--unfolded", "--limit", 3)
    # the finished ones have no stack to show
    assert len(stacks["stacks"]) == 3 and stacks["more"] == 1 + 82 - 3


def test_no_coroutine(counted):
    core, _ = counted
    for wrong in ("_G", "print"):
        result = inspect(core, "bt", wrong)
        assert result.returncode == 2 and not result.stdout
        assert "hint: " in result.stderr
    result = inspect(core, "coroutines", "--by", "size")
    assert result.returncode == 2 and "both, status, main" in result.stderr


# ---- Native threads ----------------------------------------------------------------------------


FAILING = """
#include <lauxlib.h>
#include <lualib.h>
int main(void) {
  lua_State *L = luaL_newstate();
  luaL_openlibs(L);
  if (luaL_loadstring(L, "error('boom ' .. 7)")) return 1;
  lua_call(L, 0, 0);
}
"""


def compile_host(source, program):
    query = ["pkg-config", "--cflags", "--libs", "lua5.4"]
    if not shutil.which("pkg-config") or subprocess.run(query, check=False).returncode:
        pytest.skip("liblua5.4-dev is not installed")
    flags = subprocess.run(query, check=True, stdout=subprocess.PIPE, text=True).stdout
    command = ["gcc", "-std=gnu17", "-Wall", "-Werror", "-o", program, source]
    subprocess.run([*command, *flags.split(), "-lpthread"], check=True)
    return program


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    program = tmp_path_factory.mktemp("threads") / "many_vms"
    return compile_host(FOLDER / "many_vms.c", program)


def dump_host(program, core, *arguments):
    """Dumps it; returns the numbers of its native threads."""
    with subprocess.Popen(
        [program, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    ) as process:
        assert process.stdout.readline() == "READY\n"
        tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
        tids = sorted(int(task.name) for task in tasks)
        while any(") S " not in (task / "stat").read_text() for task in tasks):
            time.sleep(0.01)  # not all are where they wait for ever
        gcore(process, core)
        process.communicate("\n", timeout=60)
    return tids


def test_native_thread_of_a_vm(host, tmp_path):
    """Three idle VMs of the main thread, and one that another thread runs."""
    core = tmp_path / "one.core"
    tids = dump_host(host, core)
    answer = document(core, "bt")
    running = [chain for chain in answer["chains"] if chain["threads"]]
    assert len(answer["chains"]) == 4 and len(running) == 1
    assert running[0]["tid"] == tids[1]
    (stack,) = answer["stacks"]
    assert (
        stack["tid"] == tids[1] and stack["frames"][0]["c_function"] == "wait_forever"
    )
    assert "3 VMs run nothing, with 3 coroutines" in inspect(core, "bt").stdout
    everything = inspect(core, "bt", "--all").stdout
    assert everything.index("OS thread") < everything.index("nothing runs")


def test_the_selected_thread_comes_first(host, tmp_path, debugger):
    core = tmp_path / "two.core"
    tids = dump_host(host, core, "threads")
    answer = document(core, "bt")
    assert {stack["tid"] for stack in answer["stacks"]} == set(tids[1:])
    for number, tid in enumerate(tids[1:], start=2):
        first = inspect(core, "bt", "--tid", tid).stdout
        assert document(core, "bt", "--tid", tid)["stacks"][0]["tid"] == tid
        other = inspect(core, "bt", "--tid", tids[1]).stdout
        lines = [debugger.select_thread(number)]
        lines += ["lua-bt", f"lua-bt --tid {tids[1]}"]
        shown = debugger.outputs(lines, core=core)[1:]
        # lldb tells of the new selection when it comes to it.
        assert shown[0].endswith(first) and shown[1] == other
    wrong = inspect(core, "bt", "--tid", 1)
    assert wrong.returncode == 2 and "no thread 1" in wrong.stderr


def test_an_error_that_nothing_caught(tmp_path):
    """Lua 5.4.4 has unwound the stack when it aborts; the error is what is left on it."""
    source, core = tmp_path / "failing.c", tmp_path / "failing.core"
    source.write_text(FAILING)
    program = compile_host(source, tmp_path / "failing")
    gdb("run", f"gcore {core}", start=[program])
    if not core.exists():
        pytest.skip("gdb cannot run programs here")
    (chain,) = document(core, "bt")["chains"]
    assert chain["threads"] == [] and chain["failure"] in ("likely", "known")
    assert chain["error"].endswith(":1: boom 7")
    page = inspect(core, "bt").stdout
    assert "error that nothing caught: [string" in page and "boom 7" in page


def test_a_function_that_runs(tmp_path):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    script = tmp_path / "spin.lua"
    script.write_text(SPIN)
    with subprocess.Popen(
        ["lua5.4", script.name],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    ) as process:
        assert process.stdout.readline() == "READY\n"
        time.sleep(0.1)
        gcore(process, tmp_path / "spin.core")
        process.kill()
    answer = document(tmp_path / "spin.core", "bt", "--locals")
    (chain,) = answer["chains"]
    running, main = answer["stacks"]
    assert chain["tid"] == process.pid == running["tid"] and main["tid"] is None
    assert chain["threads"] == [running["address"], main["address"]]
    spin, caller = running["frames"]
    assert spin["name"] == "spin" and spin["namewhat"] == "upvalue"
    assert 4 <= spin["line"] <= 6
    assert spin["locals"][0]["name"] == "n" and spin["locals"][0]["value"] == "3"
    assert [local["name"] for local in spin["locals"]] == ["n", "x"]
    varargs = [l["value"] for l in caller["locals"] if l["kind"] == "vararg"]
    assert varargs == ["1", "2", "3"]
    assert main["status"] == "normal" and main["is_main"]
