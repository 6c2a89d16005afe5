"""Makes the Python environment that a package or an image has: Postroad with its locked libraries, and nothing else.

Usage: environment.py [--python PYTHON] [--compile] [--machine-code COMPILED] --at PLACE FOLDER: FOLDER is made; PLACE
is where it will stand in the end. Run with a Python that has pip; COMPILED is what tools/compile.py made with the same
version of Python. The lock's hashes are checked; what only the build needs is taken out again.
"""

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[1]
NAME: Final = "postroad"


def main() -> None:
    """Make it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--python", default=sys.executable, help="the interpreter, as it is called where it will stand")
    parser.add_argument("--at", type=Path, required=True, help="where the folder will stand in the end")
    parser.add_argument("--compile", action="store_true", help="compile the modules, where nobody does it later")
    parser.add_argument("--machine-code", type=Path, help="take compiled modules from this folder")
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    folder = asked.folder.absolute()
    make(folder, asked.python)
    tidy(folder, asked.at)
    if asked.machine_code is not None:
        add_machine_code(folder, asked.machine_code)
    if asked.compile:
        compile_all(folder, asked.at)


def make(folder: Path, python: str) -> None:
    """The environment of `folder`, for `python`."""
    subprocess.run([python, "-m", "venv", "--without-pip", "--symlinks", folder], check=True)
    pip(folder, "install", "--require-hashes", "--no-compile", "--requirement", TOP / "requirements/run.lock")
    pip(folder, "install", "--no-build-isolation", "--no-deps", "--no-compile", TOP)
    (site,) = folder.glob("lib/python*/site-packages")
    if unneeded := sorted(set(installed(site)) - needed(installed(site))):
        pip(folder, "uninstall", "--yes", *unneeded)
    for path in site.glob("*.dist-info/direct_url.json"):
        path.unlink()  # where this checkout was
    for unused in ("apsw/sqlite_extra_binaries", "apsw/tests"):
        shutil.rmtree(site / unused, ignore_errors=True)


def pip(folder: Path, *arguments: str | Path) -> None:
    """Run our pip for the environment of `folder`."""
    command = [sys.executable, "-m", "pip", "--python", folder / "bin/python", "--quiet", "--no-input"]
    subprocess.run([*command, "--disable-pip-version-check", *arguments], check=True)


def plain(name: str) -> str:
    """A project's name as it is compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(site: Path) -> dict[str, Distribution]:
    """What is in `site`, by name."""
    return {plain(one.metadata["Name"]): one for one in distributions(path=[str(site)])}


def needed(known: dict[str, Distribution]) -> set[str]:
    """Postroad and all that it needs; extras are not asked for by anything."""
    found: set[str] = set()
    todo = [NAME]
    while todo:
        name = todo.pop()
        if name in known and name not in found:
            found.add(name)
            todo += requirements(known[name])
    return found


def requirements(one: Distribution) -> Iterator[str]:
    """The names of what `one` requires, more rather than fewer: markers but those of extras are not looked at."""
    for text in one.requires or ():
        if "extra ==" not in text and (match := re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)):
            yield plain(match[0])


def tidy(folder: Path, at: Path) -> None:
    """Leave Postroad's scripts alone, with the interpreter as it will be called; name no place of this machine."""
    for path in (folder / "bin").iterdir():
        if path.name.startswith(NAME):
            text = path.read_text("utf-8")
            path.write_text(text.replace(f"#!{folder}/", f"#!{at}/", 1), "utf-8")
        elif not path.name.startswith("python"):
            path.unlink()
    settings = folder / "pyvenv.cfg"
    lines = [line for line in settings.read_text("utf-8").splitlines() if not line.startswith("command")]
    settings.write_text("\n".join((*lines, "")), "utf-8")
    shutil.rmtree(folder / "include", ignore_errors=True)
    shutil.rmtree(folder / "share", ignore_errors=True)


def add_machine_code(folder: Path, compiled: Path) -> None:
    """Put compiled modules beside their sources, and what they share beside the package."""
    (site,) = folder.glob("lib/python*/site-packages")
    for path in compiled.rglob("*.so"):
        shutil.copy2(path, site / path.relative_to(compiled))


def compile_all(folder: Path, at: Path) -> None:
    """Compile once, for nobody may write there later; the files name the place where they will stand."""
    command = [folder / "bin/python", "-m", "compileall", "-q", "-j0", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, "-s", folder, "-p", at, folder / "lib"], check=True)


if __name__ == "__main__":
    main()
