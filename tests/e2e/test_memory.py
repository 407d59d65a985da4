"""How much memory may be used: what is said before work begins, and what does with less."""

import json
import re
import shutil
import subprocess
import sys

import pytest
from dumped import dumped
from support import PROGRAM, clean_environment, document, inspect


@pytest.fixture
def core(kept_core):
    return kept_core("debian-5.4.4")


def refused(core, *arguments):
    """The message and hint of a command that has too little memory."""
    result = inspect(core, *arguments)
    assert result.returncode == 2 and not result.stdout, result.stdout
    message, hint = result.stderr.splitlines()
    return message, hint


@pytest.mark.parametrize(
    "command", ["triage", "leaks", "heap", "retained", "bt", "states"]
)
def test_too_little(core, command):
    message, hint = refused(core, command, "--max-memory", "1K")
    assert re.fullmatch(
        rf"lua-inspect: {command} takes about [\d.]+ .?B of memory besides the core, "
        r"and --max-memory allows 1.0 KB",
        message,
    )
    assert "--max-memory" in hint and "states --brief" in hint


HALF_A_MILLION = """
watch = setmetatable({}, {__mode = "k"})
kept = {}
for i = 1, 250000 do kept[i] = {{i}} end
for i = 1, 100 do watch[kept[i]] = {description = "kept", time = os.time()} end
print("READY")
io.read()
"""


def about(core, command):
    """What a command says it takes, in MB."""
    message, _ = refused(core, *command.split(), "--max-memory", "1K")
    number, unit = re.search(r"about ([\d.]+) (.?B)", message).groups()
    assert unit == "MB"
    return float(number)


def test_cheaper_commands(tmp_path):
    """What the hint offers is there, and no command takes much more than it says."""
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    core = dumped(tmp_path, "lua5.4", "-e", HALF_A_MILLION)
    graph, brief, whole = (about(core, c) for c in ("bt", "leaks --brief", "leaks"))
    assert 20 < graph < brief < whole < 100
    message, hint = refused(core, "leaks", "--max-memory", f"{brief + 1}M")
    assert "leaks --brief" in hint
    answer = inspect(core, "leaks", "--brief", "--max-memory", f"{brief + 1}M")
    assert answer.returncode == 1, answer.stderr
    message, hint = refused(core, "leaks", "--brief", "--max-memory", f"{graph + 1}M")
    assert "lua-bt" in hint
    assert inspect(core, "bt", "--max-memory", f"{graph + 1}M").returncode == 0
    states = inspect(core, "states", "--brief", "--max-memory", "1")
    assert states.returncode == 0, states.stderr
    core_size = core.stat().st_size / 1e6
    for command, most in (("bt", graph), ("leaks --brief", brief), ("leaks", whole)):
        assert peak(core, *command.split()) - core_size < 1.25 * most, command


MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(core, *arguments):
    """The most memory that a command had, the mapped core included, in MB. Not measured from here:
    a child begins with the peak of its parent."""
    line = [sys.executable, "-c", MEASURE, PROGRAM, core, *arguments]
    result = subprocess.run(
        list(map(str, line)), stdout=subprocess.PIPE, env=clean_environment()
    )
    return int(result.stdout) * 1024 / 1e6


def test_json(core):
    result = inspect(core, "leaks", "--max-memory", "1", "--json")
    error = json.loads(result.stdout)["error"]
    assert error["code"] == "no-memory" and error["hint"]


def test_enough(core):
    limited = inspect(core, "leaks", "--max-memory", "1G")
    assert limited.stdout == inspect(core, "leaks").stdout


def test_brief_leaks(core):
    """The same survivors, chains and causes, without what takes dominators."""
    full, brief = document(core, "leaks"), document(core, "leaks", "--brief")
    assert brief["trackers"] == full["trackers"]
    strip = lambda entry: {k: v for k, v in entry.items() if k != "retained_bytes"}
    assert [strip(e) for e in brief["entries"]] == [strip(e) for e in full["entries"]]
    assert all(e["retained_bytes"] is None for e in brief["entries"])
    of_cause = lambda answer: {
        c["fingerprint"]: (c["count"], c["pattern"], c["chain"])
        for c in answer["causes"]
    }
    assert of_cause(brief) == of_cause(full) and brief["causes"]
    for cause in brief["causes"]:
        for key in ("retained_bytes", "suspect", "only_holder_of", "cut_frees"):
            assert cause[key] is None
    page = inspect(core, "leaks", "--brief", "--all").stdout
    for word in ("cut check", "~~~", "only holder", " retained"):
        assert word not in page


def test_the_copy_of_a_process_counts(tmp_path):
    """And that of a compressed core, where temporary files lie in memory."""
    script = tmp_path / "large.lua"
    script.write_text('text = ("x"):rep(50000000) print("READY") io.read()')
    process = subprocess.Popen(
        ["lua5.4", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    try:
        assert process.stdout.readline() == "READY\n"
        target = ["-p", str(process.pid), "--snapshot=none", "states"]
        result = inspect(*target, "--max-memory", "60M")
        if "permitted" in result.stderr:
            pytest.skip("processes cannot be read here")
        assert result.returncode == 2
        assert re.search(r"and 5\d\.\d MB for the copy of it that is in", result.stderr)
        assert inspect(*target, "--max-memory", "100M").returncode == 0
    finally:
        process.communicate("\n")
