"""The container file as values, and a small root to build upon, copied from this machine instead of a registry.

`instructions` reads the file without running it. `copied_root` takes the files of the packages that a small Debian with
Python has, as they are installed here; `Builder` is buildah with a store of its own, which needs no registry, no
daemon and no network: libraries come from a folder of files that were checked by their hashes.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tests.meta.source import TOP

_ROOTS = ("python3", "python3-venv", "ca-certificates", "libstdc++6", "passwd", "coreutils", "bash")
_TOP_LINKS = ("bin", "sbin", "lib", "lib64")
_FILES = ("passwd", "group", "shadow", "gshadow", "login.defs", "ld.so.conf", "debian_version")
PIP = "[global]\nno-index = true\nfind-links = /libraries\n"


class Instruction(NamedTuple):
    """One line of a container file."""

    word: str
    text: str

    @property
    def words(self) -> list[str]:
        """The list that its text is, in the form of JSON, from the first bracket on."""
        found: list[str] = json.loads(self.text[self.text.index("[") :])
        return found


def instructions(text: str) -> list[Instruction]:
    """What a container file says, in order."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = (line.partition(" ") for line in joined.splitlines() if line.strip())
    return [Instruction(word, rest.strip()) for word, _, rest in parts]


def run(*command: str | Path, text: str = "") -> str:
    """What a command prints; AssertionError with all that it says when it fails."""
    done = subprocess.run([*map(str, command)], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def copied_root(folder: Path) -> None:
    """A root in `folder`, of the packages of this machine."""
    for name in _TOP_LINKS:
        (folder / "usr" / name).mkdir(parents=True)
        (folder / name).symlink_to(f"usr/{name}")
    for name in ("tmp", "var/tmp", "proc", "dev", "run", "sys", "etc"):
        (folder / name).mkdir(parents=True)
    (folder / "tmp").chmod(0o1777)
    essential = run("dpkg-query", "--show", "--showformat=${Package} ${Essential}\\n")
    roots = [line.split()[0] for line in essential.splitlines() if line.endswith(" yes")]
    only = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    depends = run("apt-cache", "depends", "--recurse", "--installed", *only, *roots, *_ROOTS)
    packages = sorted({line for line in depends.splitlines() if line[:1].isalnum()})
    listed = subprocess.run(["dpkg", "-L", *packages], capture_output=True, text=True, check=False).stdout
    paths = [
        Path(line) for line in sorted(set(listed.splitlines())) if not re.match(r"/usr/share/(doc|man|info)/", line)
    ]
    files = [str(path) for path in paths if path.is_symlink() or path.is_file()]
    archive = folder / "tmp/files.tar"
    run("tar", "-C", "/", "--no-recursion", "-cf", archive, "-T", "-", text="\n".join(files))
    run("tar", "-C", folder, "--keep-directory-symlink", "-xf", archive)
    archive.unlink()
    for name in _FILES:
        shutil.copy2(Path("/etc") / name, folder / "etc" / name)
    for name in ("ssl", "ld.so.conf.d", "alternatives"):
        shutil.copytree(Path("/etc") / name, folder / "etc" / name, symlinks=True, dirs_exist_ok=True)
    run("chroot", folder, "/sbin/ldconfig")


class Builder:
    """Builds in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        store = ("--root", str(folder / "store"), "--runroot", str(folder / "running"))
        self._command = ("buildah", *store)

    def buildah(self, *arguments: str | Path) -> str:
        """What buildah prints."""
        return run(*self._command, *arguments)

    def build(self, tag: str) -> None:
        """The image of this checkout."""
        root, libraries, pip = self.folder / "root", self.folder / "libraries", self.folder / "pip.conf"
        copied_root(root)
        container = self.buildah("from", "scratch").strip()
        self.buildah("copy", "--quiet", container, root, "/")
        self.buildah("commit", "--quiet", container, "localhost/base")
        shutil.rmtree(root)
        lock = TOP / "requirements/run.lock"
        fetch = ("-m", "pip", "--quiet", "download", "--require-hashes", "--no-deps", "-r", lock, "-d", libraries)
        run(sys.executable, *fetch)
        pip.write_text(PIP)
        self.buildah(
            "build",
            "--isolation=chroot",
            "--format=docker",
            "--build-arg=BASE=localhost/base",
            f"--volume={libraries}:/libraries:ro",
            f"--volume={pip}:/etc/pip.conf:ro",
            f"--tag={tag}",
            f"--file={TOP / 'Containerfile'}",
            TOP,
        )

    def mount(self, tag: str) -> Path:
        """The files of an image, in a container made of it."""
        container = self.buildah("from", f"localhost/{tag}").strip()
        return Path(self.buildah("mount", container).strip())

    def clear(self) -> None:
        """Leave nothing."""
        self.buildah("umount", "--all")
        self.buildah("rm", "--all")
        self.buildah("rmi", "--all", "--force")
