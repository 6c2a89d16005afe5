"""Compiles the modules that every message passes, with mypyc: the same Python source, a third less CPU.

Writes a copy of the package with the compiled modules beside their sources into build/compiled/KEY/, KEY being a hash
of all that goes in, and prints that folder. What is there already is not made again. The sources in src/ stay as they
are, so that what a developer edits is always what runs; only who puts the folder first in PYTHONPATH, or installs it,
runs compiled. Needs a C compiler and the header files of Python; says so when they are missing.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "postroad"
BUILD = ROOT / "build" / "compiled"
SETUP = """\
from mypyc.build import mypycify
from setuptools import setup

setup(name="postroad", ext_modules=mypycify(["--strict", *{modules!r}], opt_level="2"))
"""
EX_UNAVAILABLE = 69


def modules() -> list[str]:
    """The modules to compile, as paths below the package's parent."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    names: list[str] = settings["tool"]["postroad"]["compiled"]
    return [f"{name.replace('.', '/')}.py" for name in names]


def key() -> str:
    """A name for the result: it changes with every source, the compiler's version and the interpreter."""
    digest = hashlib.sha256(f"{sys.version} {version('mypy')}".encode())
    for path in (Path(__file__), ROOT / "pyproject.toml", *sorted(PACKAGE.rglob("*.py"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def stop(reason: str) -> None:
    """End with `reason`, for people."""
    print(f"Postroad cannot be compiled: {reason}", file=sys.stderr)
    sys.exit(EX_UNAVAILABLE)


def build(folder: Path) -> None:
    """Copy and compile into `folder`."""
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        stop("the header files of Python are missing (Debian: apt-get install python3-dev)")
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        stop("there is no C compiler (Debian: apt-get install gcc)")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(PACKAGE, folder / "postroad", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "setup.py").write_text(SETUP.format(modules=modules()), encoding="utf-8")
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    environment = {**os.environ, "MYPYPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        stop(f"the compiler says:\n{(done.stdout + done.stderr)[-4000:]}")
    shutil.rmtree(folder / "build")
    (folder / "setup.py").unlink()


def main() -> None:
    """Compile unless it is done, remove older results, print the folder."""
    folder = BUILD / key()
    if not (folder / "postroad").exists() or (folder / "setup.py").exists():
        print("Compiling the modules that every message passes; this takes a minute or two.", file=sys.stderr)
        build(folder)
    for other in BUILD.iterdir():
        if other != folder:
            shutil.rmtree(other)
    print(folder)


if __name__ == "__main__":
    main()
