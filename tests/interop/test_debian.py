"""The Debian packages: built as anybody builds them, looked at, and lived through in a root of their own."""

import io
import os
import re
import shutil
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

import postroad
from postroad.config.load import inspect_config
from tests.meta.source import TOP

# A copy of this machine that forgets everything: its root below a file system in memory, with a network of its own.
IN_A_ROOT_OF_ITS_OWN = """
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o lowerdir=/,upperdir="$1/upper",workdir="$1/work" overlay "$1/root"
mount --rbind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
mkdir -p "$1/root/run" "$1/root/mnt/checkout" "$1/root/mnt/packages"
mount -t tmpfs -o mode=755 tmpfs "$1/root/run"
mount --bind "$2" "$1/root/mnt/checkout"
mount --bind "$3" "$1/root/mnt/packages"
printf '#!/bin/sh\\nexit 101\\n' >"$1/root/usr/sbin/policy-rc.d"
chmod 755 "$1/root/usr/sbin/policy-rc.d"
exec chroot "$1/root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/ sh -c \
    "cd /mnt/checkout && exec /usr/bin/python3 -B -m tests.support.installed /mnt/packages/$4"
"""


pytestmark = pytest.mark.timeout(600)  # a package is built in the first of them


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both packages, by name."""
    folder = tmp_path_factory.mktemp("packages")
    done = subprocess.run(
        [TOP / "tools/deb.sh", folder],
        env={**os.environ, "COMPRESSION": "-Zgzip -z1"},  # quick rather than small
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {path.name.partition("_")[0]: path for path in map(Path, done.stdout.split())}


def listed(package: Path) -> dict[str, tarfile.TarInfo]:
    """Everything in it, by path."""
    content = subprocess.run(["dpkg-deb", "--fsys-tarfile", package], capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(content.stdout)) as archive:
        return {entry.name.removeprefix("."): entry for entry in archive.getmembers()}


def field(package: Path, name: str) -> str:
    done = subprocess.run(["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_what_the_package_says_of_itself(packages: dict[str, Path]) -> None:
    relay, mta = packages["postroad"], packages["postroad-mta"]
    assert field(relay, "Version").rpartition("-")[0] == postroad.VERSION
    assert re.search(r"python3 \(>= 3\.\d+\), python3 \(<< 3\.\d+\)", field(relay, "Depends"))
    assert "libc6" in field(relay, "Depends")
    assert field(relay, "Provides") == ""  # beside another mail transport agent
    for name in ("Provides", "Conflicts", "Replaces"):
        assert field(mta, name) == "mail-transport-agent"


def test_what_is_in_it(packages: dict[str, Path]) -> None:
    found = listed(packages["postroad"])
    for path in ("/etc/postroad/postroad.toml", "/lib/systemd/system/postroad.service"):
        assert found[path].isreg()
    scripts = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["scripts"]
    for script in scripts:
        assert found[f"/usr/bin/{script}"].linkname == f"../lib/postroad/bin/{script}"
        assert found[f"/usr/lib/postroad/bin/{script}"].mode == 0o755
    assert not [path for path, entry in found.items() if entry.mode & 0o6000 or entry.uid or entry.gid]
    assert not [path for path, entry in found.items() if entry.mode & 0o022 and not entry.issym()]
    libraries = {Path(path).name.partition("-")[0] for path in found if path.endswith(".dist-info")}
    assert {"postroad", "pydantic", "uvloop"} <= libraries
    assert not libraries & {"hatchling", "editables", "pip", "setuptools", "pytest"}
    agent = listed(packages["postroad-mta"])
    assert agent["/usr/sbin/sendmail"].linkname == "../bin/postroad-sendmail"
    assert agent["/usr/bin/mailq"].linkname == "postroad-mailq"
    assert agent["/usr/bin/newaliases"].isreg()


def test_it_names_no_place_of_this_machine_and_every_library_is_as_locked(
    packages: dict[str, Path], tmp_path: Path
) -> None:
    subprocess.run(["dpkg-deb", "--extract", packages["postroad"], tmp_path], check=True)
    inside = tmp_path / "usr/lib/postroad"
    texts = [*inside.glob("bin/postroad*"), inside / "pyvenv.cfg", *inside.rglob("*.dist-info/*")]
    for path in filter(Path.is_file, texts):
        assert str(TOP).encode() not in path.read_bytes(), path
    for script in inside.glob("bin/postroad*"):
        assert script.read_text().startswith("#!/usr/lib/postroad/bin/python\n")
    lock = dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", (TOP / "requirements/run.lock").read_text(), re.MULTILINE))
    for path in inside.rglob("*.dist-info"):
        name, version = path.name.removesuffix(".dist-info").rsplit("-", 1)
        plain = re.sub(r"[-_.]+", "-", name).lower()
        assert version == (lock[plain] if plain != "postroad" else postroad.VERSION)
    loaded = inspect_config(tmp_path / "etc/postroad/postroad.toml")
    assert not loaded.problems
    assert {one.path for one in loaded.warnings} <= {("hostname",)}  # this machine may have a name without a domain
    shutil.rmtree(inside)


def test_lintian_has_nothing_to_say(packages: dict[str, Path]) -> None:
    command = ["lintian", "--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"]
    done = subprocess.run([*command, *packages.values()], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_whole_life_of_the_package(packages: dict[str, Path], tmp_path: Path) -> None:
    package = packages["postroad"]
    namespaces = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        namespaces += ["--map-root-user", "--map-auto"]
    done = subprocess.run(
        [*namespaces, "sh", "-c", IN_A_ROOT_OF_ITS_OWN, "sh", tmp_path, TOP, package.parent, package.name],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert done.returncode == 0, f"{done.stdout[-8000:]}\n{done.stderr[-8000:]}"
    assert done.stdout.endswith("the whole life is done\n")
