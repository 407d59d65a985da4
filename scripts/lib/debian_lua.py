"""Interpreters of other Lua releases, from the suites of the Debian mirror that this machine uses.

Each suite's packages are unpacked into a folder of their own and run through their own ld.so with
their own libraries; nothing is installed. apt is given lists and caches of its own, so that the
system's stay as they are. A suite moves on: what a release number really was is in Release.package.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEFAULT_MIRROR = "http://deb.debian.org/debian"
# Release, program, suites that may have it (the first that does is taken).
WANTED = {
    "5.4.2": ("lua5.4", ["bullseye"]),
    "5.4.4": ("lua5.4", ["bookworm"]),
    "5.4.7": ("lua5.4", ["trixie"]),
    "5.4.9": ("lua5.4", ["forky", "sid"]),
    "5.5.1": ("lua5.5", ["forky", "sid"]),
}
# Debian's name -> of the folders of libraries, of the program that loads them, and of the one that
# emulates the processor (package qemu-user-static) where the kernel does not run its programs.
ARCHITECTURES = {
    "amd64": ("x86_64-linux-gnu", "ld-linux-x86-64.so.2", None),
    "i386": ("i386-linux-gnu", "ld-linux.so.2", None),
    "arm64": ("aarch64-linux-gnu", "ld-linux-aarch64.so.1", "qemu-aarch64-static"),
    "armhf": ("arm-linux-gnueabihf", "ld-linux-armhf.so.3", "qemu-arm-static"),
    "mipsel": ("mipsel-linux-gnu", "ld.so.1", "qemu-mipsel-static"),
    "ppc64el": ("powerpc64le-linux-gnu", "ld64.so.2", "qemu-ppc64le-static"),
    "s390x": ("s390x-linux-gnu", "ld64.so.1", "qemu-s390x-static"),
}
EMULATED = [name for name, (_, _, emulator) in ARCHITECTURES.items() if emulator]
# What the programs need; readline was renamed on the way.
LIBRARIES = ["libc6", "libtinfo6", "libreadline8t64|libreadline8"]


class Unavailable(Exception):
    """A release cannot be had; the text says why."""


@dataclass
class Package:
    name: str
    version: str
    suite: str
    sha256: str
    file: Path


@dataclass
class Release:
    number: str  # "5.4.4"
    command: List[str]  # starts the interpreter; arguments follow
    package: Package
    architecture: str


def mirror() -> str:
    """The mirror that this machine's apt uses for Debian itself."""
    places = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text() for path in places if path.is_file())
    for line in text.splitlines():
        found = re.search(
            r"^(?:deb\b.*?|URIs:.*?)(https?://\S+/debian)/?(?:\s|$)", line
        )
        if found:
            return found[1]
    return DEFAULT_MIRROR


class Suites:
    """Packages of other suites, downloaded and unpacked below `folder`; for an architecture that the
    kernel runs, if not the processor's own, or for one that is emulated."""

    def __init__(self, folder: Path, architecture: str = "amd64") -> None:
        self.folder = folder
        self.architecture = architecture
        self.suffix = "" if architecture == "amd64" else f"-{architecture}"
        self.apt = folder / f"apt{self.suffix}"
        self.known: Dict[str, Optional[str]] = {}  # suite -> why not, None: fine

    def release(self, number: str) -> Release:
        """The interpreter of that release; Unavailable if no suite has it."""
        program, suites = WANTED[number]
        reasons = []
        for suite in suites:
            try:
                package = self._package(suite, program)
                if not package.version.startswith(number):
                    raise Unavailable(f"{suite} has {program} {package.version}")
                command = self._unpack(package, program)
                return Release(number, command, package, self.architecture)
            except Unavailable as error:
                reasons.append(str(error))
        raise Unavailable("; ".join(reasons))

    # ---- apt, with lists and caches of its own ------------------------------------------------

    def _options(self, suite: str) -> List[str]:
        own = self.apt / suite
        return [
            f"-oDir::Etc::SourceList={own}/sources.list",
            "-oDir::Etc::SourceParts=/dev/null",
            f"-oDir::State={own}/state",
            f"-oDir::Cache={own}/cache",
            "-oDir::State::status=/dev/null",
            "-oAPT::Sandbox::User=root",
            f"-oAPT::Architecture={self.architecture}",
            f"-oAPT::Architectures::={self.architecture}",
        ]

    def _run(self, arguments: List[str], folder: Path) -> str:
        try:
            result = subprocess.run(
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=600,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Unavailable(f"{arguments[0]}: {error}") from error
        if result.returncode != 0:
            last = (result.stdout.strip().splitlines() or ["it says nothing"])[-1]
            raise Unavailable(f"{arguments[0]} failed: {last}")
        return result.stdout

    def _update(self, suite: str) -> None:
        if suite not in self.known:
            own = self.apt / suite
            for part in ("state/lists/partial", "cache/archives/partial", "debs"):
                (own / part).mkdir(parents=True, exist_ok=True)
            arch = f"arch={self.architecture}"
            signed = f"[{arch} signed-by={KEYRING}] " if KEYRING.exists() else ""
            (own / "sources.list").write_text(f"deb {signed}{mirror()} {suite} main\n")
            self.known[suite] = None
            try:
                update = ["-oAPT::Update::Error-Mode=any", "update"]
                self._run(["apt-get", *self._options(suite), *update], own)
            except Unavailable as error:
                self.known[suite] = f"{suite}: {error}"
        reason = self.known[suite]
        if reason:
            raise Unavailable(reason)

    def _package(self, suite: str, names: str) -> Package:
        """Downloads the first of several names ("new|old") that the suite has."""
        kept = self.apt / suite / "debs"
        for name in names.split("|"):
            for file in kept.glob(f"{name}_*.deb"):  # from an earlier run
                return self._describe(suite, file)
        self._update(suite)
        for name in names.split("|"):
            download = ["download", f"{name}:{self.architecture}"]
            try:
                self._run(["apt-get", *self._options(suite), *download], kept)
            except Unavailable:
                continue
            for file in kept.glob(f"{name}_*.deb"):
                return self._describe(suite, file)
        raise Unavailable(f"{suite} has no {names.replace('|', ' or ')}")

    def _describe(self, suite: str, file: Path) -> Package:
        fields = ["dpkg-deb", "-f", str(file)]
        name = self._run([*fields, "Package"], file.parent).strip()
        version = self._run([*fields, "Version"], file.parent).strip()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return Package(name, version, suite, digest, file)

    # ---- Unpacking ------------------------------------------------------------------------------

    def _unpack(self, package: Package, program: str) -> List[str]:
        """Unpacks the program and its libraries; returns the command that runs it."""
        root = self.folder / f"{program}-{package.version}{self.suffix}"
        if not (root / "complete").exists():
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir(parents=True)
            packages = [package]
            packages += [self._package(package.suite, names) for names in LIBRARIES]
            for each in packages:
                self._run(["dpkg-deb", "-x", str(each.file), str(root)], self.folder)
            (root / "complete").touch()
        triplet, ld_so, emulator = ARCHITECTURES[self.architecture]
        if emulator and not shutil.which(emulator):
            raise Unavailable(f"{emulator} is not installed")
        libraries = [root / "lib" / triplet, root / "usr/lib" / triplet]
        loaders = [
            place / ld_so
            for place in (*libraries, root / "lib", root / "lib64", root / "usr/lib64")
        ]
        loader = next((path for path in loaders if path.exists()), None)
        executable = root / "usr/bin" / program
        if not loader or not executable.exists():
            raise Unavailable(f"{package.file.name} holds no {program} that can be run")
        search = ":".join(map(str, libraries))
        command = [emulator] if emulator else []
        command += [str(loader), "--library-path", search, str(executable)]
        self._run([*command, "-v"], self.folder)
        return command
