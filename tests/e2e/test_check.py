"""`check` finds nothing in healthy heaps, at any moment; any damage leaves it an answer."""

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import minicore
import pytest
from core_image import ALLGC, BYTES, LENGTH, MARK, NEXT, WHITES, Image
from support import document, inspect

LONG = bool(os.environ.get("LUA_INSPECT_LONG"))
CHURN = Path(__file__).parent / "churn.lua"


# ---- Health


def check_is_clean(core):
    answer = document(core, "check")
    assert answer["violations"] == [] and answer["kinds"] == []
    assert answer["unchecked"] == []
    assert all(
        each["violations"] == 0 and each["complete"] for each in answer["checks"]
    )
    assert all(each["objects"] and each["references"] for each in answer["checks"])
    assert inspect(core, "check").returncode == 0


def test_every_stage_is_healthy(stages):
    for stage in stages.values():
        check_is_clean(stage.core)


def test_kept_cores_are_healthy(packed_core):
    check_is_clean(packed_core.path)


@pytest.mark.parametrize("script", ["server.lua", "game_server.lua"])
def test_fresh_cores_are_healthy(make_core, script):
    check_is_clean(make_core(script, "gcore").path)


# ---- What is shown


def test_text(stages, tmp_path):
    clean = inspect(stages["pause"].core, "check")
    assert clean.stdout.splitlines()[2] == "no violations"
    image = Image(stages["pause"].core)
    address = image.object("zoo.text")
    image.set(address + BYTES + image.get(address + LENGTH, "<B"), 7, "<B")
    image.check(tmp_path)
    damaged = inspect(tmp_path / "damaged.core", "check")
    assert damaged.returncode == 1
    lines = damaged.stdout.splitlines()
    assert lines[2] == "1 violation of 1 kind"
    assert any(line.startswith("string-end   1 ×") for line in lines)
    assert any(
        line.startswith(f"  {address:#x}  string: the byte behind") for line in lines
    )


def test_many_violations_are_counted(stages, tmp_path):
    """All objects of allgc get the other white."""
    image = Image(stages["pause"].core)
    address, changed = image.global_(ALLGC), 0
    while address:
        image.change(address + MARK, lambda mark: mark ^ WHITES)
        address, changed = image.get(address + NEXT), changed + 1
    status, answer = image.check(tmp_path)
    assert status == 1
    counts = {each["code"]: each["count"] for each in answer["kinds"]}
    assert counts["color-phase"] >= changed
    shown = [each for each in answer["violations"] if each["code"] == "color-phase"]
    assert len(shown) == 25
    text = inspect(tmp_path / "damaged.core", "check").stdout
    assert f"{counts['color-phase'] - 25:,} more" in text


# ---- Any moment, any damage


def stopped_core(process, path):
    """A core of a process that is stopped wherever it is."""
    process.send_signal(signal.SIGSTOP)
    os.waitpid(process.pid, os.WUNTRACED)
    minicore.write_core(process.pid, path)
    process.send_signal(signal.SIGCONT)


@pytest.mark.skipif(not LONG, reason="takes minutes: scripts/test --long")
@pytest.mark.parametrize("mode", ["incremental", "generational"])
def test_any_moment(mode, tmp_path, monkeypatch):
    """A dump may catch an instruction half done. That is rare, and shows as little."""
    monkeypatch.setattr(minicore, "wait_for_read", lambda pid: None)  # it is stopped
    process = subprocess.Popen(["lua5.4", str(CHURN), mode], stdin=subprocess.DEVNULL)
    core, moments, found = tmp_path / "churn.core", 400, []
    try:
        for _ in range(moments):
            time.sleep(random.random() / 50)
            stopped_core(process, core)
            answer = document(core, "check")
            found += [answer["kinds"]] if answer["kinds"] else []
    finally:
        process.kill()
        process.wait()
    assert len(found) <= moments / 50, found
    assert all(sum(kind["count"] for kind in kinds) < 20 for kinds in found), found


@pytest.mark.parametrize("seed", range(400 if LONG else 20))
def test_any_damage(stages, tmp_path, seed):
    """Words of the heap are overwritten at random: an answer, or an error that is one."""
    dice = random.Random(seed)
    image = Image(dice.choice(list(stages.values())).core)
    start, length, _ = next(
        s for s in image.segments if s[0] <= image.state < s[0] + s[1]
    )
    for _ in range(dice.choice([1, 10, 100, 1000])):
        address = start + dice.randrange(length // 8) * 8
        other = image.get(start + dice.randrange(length // 8) * 8)
        value = dice.choice(
            [0, 1, 2**64 - 1, other, other ^ 1 << dice.randrange(64), address]
        )
        image.set(address, value)
    damaged = tmp_path / "damaged.core"
    damaged.write_bytes(image.bytes)
    for command in ("check", "gc"):
        result = inspect(damaged, command, "--json")
        assert result.returncode in (0, 1, 2)
        assert ("error" in json.loads(result.stdout)) is (result.returncode == 2)


def test_a_truncated_core_is_no_damage(stages, tmp_path):
    """What is cut off is missing, not broken."""
    whole = stages["pause"].core.read_bytes()
    for share in (0.5, 0.7, 0.9):
        cut = tmp_path / f"cut{share}.core"
        cut.write_bytes(whole[: int(len(whole) * share)])
        result = inspect(cut, "check", "--json")
        answer = json.loads(result.stdout)
        assert result.returncode in (0, 2)
        assert result.returncode == 2 or answer["target"]["missing_bytes"] > 0
