"""The README tells the truth: its transcripts are what the program says today."""

import doctest
import re
import shutil
import subprocess

from support import PROGRAM, ROOT, clean_environment, gcore, gdb_output

CUT = "[...]"  # lines that the README leaves out


def transcript(mark="transcript"):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = text.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0]
    lines = block.strip().splitlines()
    assert lines[0] == "```" and lines[-1] == "```"
    return "\n".join(lines[1:-1])


def normal(text):
    """What differs from run to run and from machine to machine: addresses, times, debug info, the
    length of paths in the heap, and the blanks that align what follows."""
    text = re.sub(r"0x[0-9a-f]+", "ADDRESS", text)
    text = re.sub(r"\d[\d.,]* (?:d|h|min|s)\b(?: \d+ (?:h|min)\b)?", "TIME", text)
    text = re.sub(r"TIME \.\. TIME", "TIME", text)
    text = re.sub(r", [\d.e+]+ a minute", ", RATE", text)
    text = re.sub(r"\((canned layout|layout from debug info)\)", "(LAYOUT)", text)
    text = re.sub(r"[\d.,]+ objects, [\d.]+ .B", "SIZE", text)
    text = re.sub(r"\(<?[\d.]+ %\)", "(SHARE)", text)
    return [re.sub(r" +", " ", line).rstrip() for line in text.splitlines()]


def test_transcript_is_what_the_demo_prints(tmp_path):
    server = subprocess.Popen(
        ["lua5.4", str(ROOT / "cores" / "game_server.lua"), str(ROOT / "scripts")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
    )
    try:
        assert server.stdout.readline().strip() == "READY"
        core = tmp_path / "game_server.core"
        gcore(server, core)
    finally:
        server.kill()
        server.communicate()
    shown = transcript()
    first, rest = shown.split("\n", 1)
    assert first == "(gdb) lua-leaks"
    actual = "\n".join(normal(gdb_output("lua-leaks", ["-c", core])))
    parts = "\n".join(normal(rest)).split(CUT)
    position = 0
    for part in parts:
        found = actual.find(part.strip("\n"), position)
        assert found >= 0, f"the README says, the program does not:\n{part}\n\n{actual}"
        position = found + len(part.strip("\n"))


def test_python_says_what_the_readme_says(kept_core, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "plugin"))
    shutil.copy2(kept_core("debian-5.4.4"), "debian-5.4.4.core")
    lines = transcript("python") + "\n"
    examples = doctest.DocTestParser().get_doctest(lines, {}, "README.md", None, 0)
    assert len(examples.examples) > 5
    report = []
    failed, _ = doctest.DocTestRunner(verbose=False).run(examples, out=report.append)
    assert not failed, "".join(report)


def test_commands_that_the_readme_names_exist():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)[^`]*` \|", text, re.MULTILINE)
    assert listed
    for command in listed:
        result = subprocess.run(
            [str(PROGRAM), "help", command], capture_output=True, check=False
        )
        assert result.returncode == 0, command
