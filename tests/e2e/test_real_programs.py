"""The walks through real daemons: scripts/real-programs finds what is planted in cores/NAME by triage
alone, and what cores/NAME/README.md shows is what it prints."""

import os
import re
import subprocess

import pytest
from support import ROOT, clean_environment, document

NOT_HERE = 77
PLANTS = {
    "prosody": {
        "path": '_G.hosts.localhost.events._handlers["pre-message/full"][1]'
        ":upvalue(listeners)",
        "entries": 1100,
        "entry_class": "functions mod_delivery.lua:10",
        "vms": 1,
    },
    "lighttpd": {
        "path": "package.loaded.visitors.count:upvalue(visits)",
        "entries": 5000,
        "entry_class": "{agent, count, first, last, referer}",
        "vms": 2,
    },
}
COMMANDS = (
    ["leaks"],
    ["heap"],
    ["retained"],
    ["globals"],
    ["registry"],
    ["coroutines"],
    ["bt", "--all", "--locals", "--limit", "1000"],
    ["gc"],
    ["tables"],
    ["strings"],
)


def first_suspect(text):
    """As in triage's text, without what differs from run to run and where lines break."""
    block = text[text.index("\n#1 ") :].split("\n\n")[0]
    for pattern, instead in (
        (r"0x[0-9a-f]+", "ADDRESS"),
        (r"[\d.]+ [KM]?B\b", "SIZE"),
        (r"\d+ %", "SHARE"),
        (r"├─ \[\d+\]", "├─ [N]"),
        (r"visitor=\d+&page=\d+", "visitor=N&page=N"),
    ):
        block = re.sub(pattern, instead, block)
    return block.split()


def transcript(program):
    text = (ROOT / "cores" / program / "README.md").read_text(encoding="utf-8")
    return text.split("<!-- transcript -->")[1].split("<!-- /transcript -->")[0]


@pytest.fixture(scope="module", params=PLANTS)
def walk(request, tmp_path_factory):
    """What the script printed, and the core it kept."""
    folder = tmp_path_factory.mktemp(request.param)
    script = ROOT / "scripts" / "real-programs"
    done = subprocess.run(
        [str(script), request.param, "--keep", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=clean_environment(),
        timeout=900,
        check=False,
    )
    if done.returncode == NOT_HERE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    return request.param, done.stdout, folder / f"{request.param}.core"


pytestmark = pytest.mark.skipif(
    not os.environ.get("LUA_INSPECT_LONG"),
    reason="installs and runs daemons: scripts/test --long",
)


def test_the_plant_is_the_first_suspect(walk):
    program, _, core = walk
    plant = PLANTS[program]
    answer = document(core, "triage")
    assert answer["trackers"] == [] and answer["faults"] == []
    suspect = answer["suspects"][0]
    for key in ("path", "entries", "entry_class"):
        assert suspect[key] == plant[key]
    assert suspect["share"] > 0.3
    path = document(core, "paths", suspect["address"])["paths"][0]
    assert path["path"] == plant["path"]


def test_the_readme_shows_what_is_printed(walk):
    program, printed, _ = walk
    shown = transcript(program)
    assert first_suspect(shown) == first_suspect(printed)
    for text in (shown, printed):
        assert "residual 0 B" in text and "\nno tracker was found\n" in text


def test_every_byte_and_every_command(walk):
    program, _, core = walk
    vms = document(core, "states")["vms"]
    assert [vm["residual_bytes"] for vm in vms] == [0] * PLANTS[program]["vms"]
    assert document(core, "check")["violations"] == []
    for command in COMMANDS:
        answer = document(core, *command)
        assert answer["faults"] == [] and not answer["partial"], command
