"""The cores that the end-to-end tests read.

They come from three places: packed ones of cores/ and of $LUA_INSPECT_CORES, and fresh ones of
Debian's lua5.4, taken by gcore and by the kernel. A core that cannot be had here is a skip that
says why, never silence.
"""

import json
import lzma
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import support
from debuggers import DEBUGGERS
from everywhere import Everywhere
from stages import run_stages
from support import ROOT, Server, gcore, inspect, verdicts

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from debian_lua import WANTED, Suites, Unavailable  # noqa: E402

GOLDEN = ROOT / "tests" / "e2e" / "golden"


@pytest.fixture(scope="session")
def everywhere():
    support.everywhere = Everywhere()
    yield support.everywhere
    support.everywhere.end()
    support.everywhere = None


@pytest.fixture(autouse=True)
def in_every_debugger(everywhere):
    """What a test runs in the shell runs in gdb and lldb, too."""
    everywhere.begin_test()


@pytest.fixture(scope="session")
def suites():
    return Suites(ROOT / "build" / "suites")


@pytest.fixture(params=WANTED)
def release(request, suites):
    """Each Lua of Debian's suites: its number, and the command that runs it. In long runs only."""
    if not os.environ.get("LUA_INSPECT_LONG"):
        pytest.skip("downloads, and takes minutes: scripts/test --long")
    try:
        return suites.release(request.param)
    except Unavailable as reason:
        pytest.skip(f"Lua {request.param} cannot be had: {reason}")


@pytest.fixture(scope="session", params=DEBUGGERS)
def debugger(request):
    """Each debugger that the plugin runs in."""
    debugger = DEBUGGERS[request.param]
    if not shutil.which(debugger.program):
        pytest.skip(f"{debugger.program} is not installed")
    return debugger


class Core:
    def __init__(self, path, truth=None, answer=None):
        self.path = path
        self.truth = truth  # description -> verdict
        self.answer = answer  # what the program said after the dump


class Maker:
    """Makes each core once in a test run."""

    def __init__(self, folder):
        self.folder = folder
        self.made = {}

    def __call__(self, script, method):
        key = (script, method)
        if key not in self.made:
            self.made[key] = self._make(ROOT / "cores" / script, method)
        return self.made[key]

    def _make(self, script, method):
        folder = self.folder / f"{script.stem}-{method}"
        folder.mkdir()
        core = folder / f"{script.stem}.core"
        server = Server(script, folder)
        if method == "gcore":
            gcore(server.process, core)
            answer = server.answer()
        else:
            server.abort(core)
            answer = Server(script, folder).answer()  # another run says the same
        truth = verdicts(answer) if script.name == "server.lua" else None
        return Core(core, truth, answer)


@pytest.fixture(scope="session")
def make_core(tmp_path_factory):
    for program in ("lua5.4", "gdb"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    return Maker(tmp_path_factory.mktemp("cores"))


@pytest.fixture(scope="session")
def server_core(make_core):
    """server.lua under lua5.4, by gcore: the core most tests look at."""
    return make_core("server.lua", "gcore")


def packed():
    """Packed cores with an account of their own."""
    folders = [ROOT / "cores"]
    if os.environ.get("LUA_INSPECT_CORES"):
        folders.append(Path(os.environ["LUA_INSPECT_CORES"]))
    return [path for folder in folders for path in sorted(folder.glob("*.core.xz"))]


def pytest_generate_tests(metafunc):
    if "packed_core" in metafunc.fixturenames:
        found = packed()
        reason = (
            "no *.core.xz in cores/; $LUA_INSPECT_CORES may name a folder with some"
        )
        missing = pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")
        parameters = [
            pytest.param(path, id=path.name[: -len(".core.xz")]) for path in found
        ]
        metafunc.parametrize("packed_core", parameters or [missing], indirect=True)


@pytest.fixture(scope="session")
def packed_core(request, tmp_path_factory):
    packed_path = request.param
    name = packed_path.name[: -len(".xz")]
    core = tmp_path_factory.mktemp("packed") / name
    with lzma.open(packed_path) as source, open(core, "wb") as target:
        shutil.copyfileobj(source, target)
    truth = packed_path.parent / name.replace(".core", ".truth.json")
    if not truth.exists():
        pytest.skip(f"{packed_path.name} has no {truth.name}")
    return Core(core, json.loads(truth.read_text())["verdict"])


@pytest.fixture(scope="session")
def kept_core(tmp_path_factory):
    """Unpacks cores/NAME.core.xz, once."""
    made = {}

    def unpack(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp("kept") / f"{name}.core"
            with lzma.open(ROOT / "cores" / f"{name}.core.xz") as source:
                made[name].write_bytes(source.read())
            os.utime(made[name], (1700003600, 1700003600))  # when it was dumped
        return made[name]

    return unpack


@pytest.fixture
def golden(kept_core, tmp_path, update_golden):
    """golden("heap", "heap", "--limit", 5): what that prints is what golden/heap.txt says.

    Files of this machine are kept out (--sysroot), as is the time of unpacking (--now).
    """

    def compare(name, *arguments, core="debian-5.4.4"):
        fixed = ["--sysroot", tmp_path, "--now", "1700003600", "--color", "never"]
        result = inspect(kept_core(core), *arguments, *fixed)
        assert result.returncode in (0, 1), result.stderr
        names = [a.name if isinstance(a, Path) else str(a) for a in arguments]
        line = shlex.join(["lua-inspect", f"{core}.core", *names])
        text = f"$ {line}\n{result.stdout}"
        path = GOLDEN / f"{name}.txt"
        if update_golden:
            GOLDEN.mkdir(exist_ok=True)
            path.write_text(text)
        assert text == path.read_text(), f"{path.name}: pytest --update-golden?"
        if os.environ.get("LUA_INSPECT_LONG"):
            for debugger in DEBUGGERS.values():
                words = [shlex.quote(str(word)) for word in (*arguments[1:], *fixed)]
                command = f"lua-{arguments[0]} {' '.join(words)}"
                shown = debugger.output(command, core=kept_core(core))
                assert shown == result.stdout, debugger.name

    return compare


@pytest.fixture(scope="session")
def foreign_core(tmp_path_factory):
    """The core of a process without Lua."""
    core = tmp_path_factory.mktemp("foreign") / "sleep.core"
    process = subprocess.Popen(["sleep", "60"])
    gcore(process, core)
    process.kill()
    process.wait()
    return core


@pytest.fixture(scope="session")
def stub(tmp_path_factory):
    """Builds the stand-in for the library."""
    folder = tmp_path_factory.mktemp("stub")

    def build(name, *flags):
        path = folder / name
        source = ROOT / "tests" / "e2e" / "stub_library.c"
        include = f"-I{ROOT / 'libinspect'}"
        command = ["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-shared", "-fPIC", include]
        subprocess.run([*command, *flags, "-o", path, source], check=True)
        return path

    return build


@pytest.fixture(scope="session")
def stages(tmp_path_factory):
    """collector.lua under lua5.4, dumped at each stage: name -> Stage."""
    if not shutil.which("lua5.4"):
        pytest.skip("lua5.4 is not installed")
    return run_stages("lua5.4", tmp_path_factory.mktemp("stages"))
