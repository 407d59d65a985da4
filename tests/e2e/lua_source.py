"""Debian's own source package of Lua 5.4, changed and built in a temporary folder.

The package comes from the mirror that this machine's apt uses, through a source list of its own.
Where it cannot be had, Unavailable says why.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from support import ROOT

sys.path.insert(0, str(ROOT / "scripts" / "lib"))

from debian_lua import KEYRING, Unavailable, mirror  # noqa: E402

SUITE = "bookworm"
WITHOUT = {"luac.c", "ltests.c"}


def run(*arguments, folder=None):
    try:
        result = subprocess.run(
            list(map(str, arguments)),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            timeout=300,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{arguments[0]}: {error}") from error
    if result.returncode:
        last = (result.stdout.strip().splitlines() or ["it says nothing"])[-1]
        raise Unavailable(f"{arguments[0]} failed: {last}")
    return result.stdout


class LuaSource:
    """The unpacked package; `folder` is where everything happens."""

    def __init__(self, folder):
        self.folder = folder
        self.pristine = folder / "package" / "src"
        self._fetch()

    def _fetch(self):
        apt = self.folder / "apt"
        for part in ("state/lists/partial", "cache/archives/partial"):
            (apt / part).mkdir(parents=True)
        signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""
        (apt / "sources.list").write_text(f"deb-src {signed}{mirror()} {SUITE} main\n")
        options = [
            f"-oDir::Etc::SourceList={apt}/sources.list",
            "-oDir::Etc::SourceParts=/dev/null",
            f"-oDir::State={apt}/state",
            f"-oDir::Cache={apt}/cache",
            "-oDir::State::status=/dev/null",
            "-oAPT::Sandbox::User=root",
            "-oAPT::Update::Error-Mode=any",
        ]
        run("apt-get", *options, "update", folder=apt)
        run("apt-get", *options, "source", "--download-only", "lua5.4", folder=apt)
        description = next(apt.glob("lua5.4_*.dsc"))
        unpacked = self.folder / "package"
        run("dpkg-source", "--no-check", "-x", description, unpacked, folder=apt)

    def compile(self, name, changes=(), only=None):
        """Compiles a copy with `changes`, triples of file, old text and new text; `only` names
        the source files to compile, if not all. Returns the object files."""
        copy = self.folder / name
        shutil.copytree(self.pristine, copy)
        for file, old, new in changes:
            path = copy / file
            text = path.read_text()
            assert (
                text.count(old) == 1
            ), f"{old!r} occurs {text.count(old)} times in {file}"
            path.write_text(text.replace(old, new))
        sources = [
            path
            for path in sorted(copy.glob("*.c"))
            if (path.name in only if only else path.name not in WITHOUT)
        ]
        flags = ["-g", "-O1", "-fPIC", "-w", "-DLUA_USE_LINUX", "-DLUA_COMPAT_5_3"]

        def build(source):
            run("gcc", *flags, "-c", source.name, folder=copy)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(build, sources))
        return [path.with_suffix(".o") for path in sources]

    @cached_property
    def unchanged(self):
        """Object files of the package as it is."""
        return self.compile("unchanged")

    def link(self, objects, program, *flags):
        program.parent.mkdir(parents=True, exist_ok=True)
        run("gcc", *objects, *flags, "-o", program, "-lm", "-ldl", "-Wl,-E")
        return program
