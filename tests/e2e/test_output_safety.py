"""What a target holds reaches no terminal unescaped, is valid JSON, and is withheld by --redact."""

import json
import re
import shutil
import subprocess

import pytest

from dumped import dumped
from support import PROGRAM, ROOT, clean_environment, document, inspect

SCRIPT = ROOT / "tests" / "e2e" / "hostile.lua"
# The commands whose argument is an object are asked about these globals, by address.
OBJECTS = ("plantedpile", "plantedasleep", "plantedfunctions", "plantedobjects")
COMMANDS = [
    "triage",
    "leaks --all",
    "leaks --all-weak --wide",
    "heap --live",
    "heap --by shape",
    "heap --by source",
    "heap --garbage",
    "retained",
    "find --type table",
    "find --type function",
    "find --type string --limit 1000",
    "find --type prototype",
    "globals",
    "registry",
    "strings --limit 1000 --wide",
    "strings --duplicates",
    "tables",
    "tables --waste",
    "states -v",
    "bt --all --locals",
    "bt --native --locals",
    "coroutines",
    "coroutines --by status",
    "gc",
    "check",
]
ABOUT_OBJECTS = ["paths", "refs", "print --depth 4", "retained", "refs --in"]
# C0 but newline, DEL, C1, bidirectional and zero-width characters, line separators, BOM.
HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffd]"
)
PLANTED = re.compile("planted|description[0-9]|[hH]ostile|inner|nested|sleeper")


@pytest.fixture(scope="module")
def core(tmp_path_factory):
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    made = dumped(tmp_path_factory.mktemp("hostile"), "lua5.4", SCRIPT)
    named = made.parent / "planted\x1b[31m\n\u202e.core"
    made.rename(named)
    return named


@pytest.fixture(scope="module")
def questions(core):
    """Every command, and those about objects for some of each kind."""
    listed = document(core, "globals", "--limit", "1000")["globals"]
    address = {row["path"].rpartition(".")[2]: row["address"] for row in listed}
    about = [f"{each} {address[name]}" for each in ABOUT_OBJECTS for name in OBJECTS]
    return [line.split() for line in COMMANDS + about]


def answers(core, questions, *options):
    for question in questions:
        result = subprocess.run(
            [str(PROGRAM), str(core), *question, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            timeout=60,
        )
        assert result.returncode in (0, 1), (question, result.stderr)
        yield question, result.stdout.decode("utf-8"), result.stderr.decode("utf-8")


def test_text_is_escaped(core, questions):
    seen = 0
    for question, text, said in answers(core, questions, "--color", "never"):
        assert not HIDDEN.search(text + said), question
        seen += "planted" in text
    assert seen > len(questions) / 2


def test_errors_are_escaped(core):
    for wrong in (["paths", "_G.no\x1b[31m\u202e"], ["leaks", "--exe", "/no\x1b[31m"]):
        result = inspect(core, *wrong)
        assert result.returncode == 2 and not HIDDEN.search(result.stderr)


def test_json_is_valid_for_other_parsers(core, questions):
    for question, text, _ in answers(core, questions, "--json"):
        assert not HIDDEN.search(text.replace("\n", "")), question
        parsed = json.loads(text)
        if shutil.which("jq"):
            command = ["jq", "-S", "-c", "."]
            again = subprocess.run(command, input=text.encode(), stdout=subprocess.PIPE)
            assert again.returncode == 0, question
            assert json.loads(again.stdout).keys() == parsed.keys()


@pytest.mark.parametrize("form", [["--color", "never", "--wide"], ["--json"]])
def test_redacted(core, questions, form):
    """No word of the program is there, in any command; numbers of objects are as they were."""
    for question, text, said in answers(core, questions, "--redact", *form):
        assert not PLANTED.search(text + said), (question, PLANTED.findall(text + said))
    plain, withheld = document(core, "leaks"), document(core, "leaks", "--redact")
    assert len(plain["entries"]) == len(withheld["entries"]) > 30
    both = [sorted(e["verdict"] for e in each["entries"]) for each in (plain, withheld)]
    assert both[0] == both[1]
    assert len(plain["causes"]) == len(withheld["causes"])


def test_a_redacted_diff(core):
    result = inspect(core, "diff", core, "--redact")
    assert result.returncode == 0 and not PLANTED.search(result.stdout + result.stderr)


def test_hashes_depend_on_the_key(core):
    def leaks(*options):
        return inspect(core, "leaks", *options).stdout

    assert leaks("--redact") != leaks("--redact")
    assert leaks("--redact-key", "a secret") == leaks("--redact-key", "a secret")
    assert leaks("--redact-key", "a secret") != leaks("--redact-key", "another")


def test_what_stays(core):
    text = inspect(core, "globals", "--redact").stdout
    text += inspect(core, "bt", "--redact").stdout
    assert "io.read" in text and "_G." in text
    assert inspect(core, "check", "--redact").returncode == 0


def test_in_debuggers(core, questions, debugger, tmp_path):
    """Escaped and withheld as in the shell, with the same hashes."""
    named = tmp_path / "hostile.core"
    shutil.copy2(core, named)
    lines = [f"lua-{' '.join(question)}" for question in questions]
    withheld = [f"{line} --redact" for line in lines]
    keyed = [f"{line} --redact-key=secret --json" for line in lines[::4]]
    shown = debugger.outputs([*lines, *withheld, *keyed], core=named)
    for line, text in zip([*lines, *withheld, *keyed], shown):
        assert text and not HIDDEN.search(text), line
        assert "--redact" not in line or not PLANTED.search(text), line
    expected = answers(named, questions[::4], "--redact-key=secret", "--json")
    assert shown[-len(keyed) :] == [text for _, text, _ in expected]


def test_python(core):
    code = (
        "import lua_inspect, sys\n"
        "session = lua_inspect.open(sys.argv[1], redact=True)\n"
        "print(session.run('leaks'), session.run('strings'))\n"
        "for each in session.objects:\n"
        "    print(each, each.cls, each.refs[:3])\n"
        "    if each.type == 'string': print(each.string)\n"
        "plain = lua_inspect.open(sys.argv[1])\n"
        "try: plain.run('leaks', '--redact'); print('planted')\n"
        "except lua_inspect.Error as error: print(error)\n"
    )
    result = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(core)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(PYTHONPATH=str(ROOT / "plugin")),
    )
    assert result.returncode == 0, result.stderr
    assert len(result.stdout) > 10_000
    assert not PLANTED.search(result.stdout), PLANTED.findall(result.stdout)[:3]
    assert "opened without --redact" in result.stdout
