"""A real token in software, SoftHSM, in a folder of its own."""

import os
import subprocess
from pathlib import Path
from typing import Final

MODULE: Final = "/usr/lib/softhsm/libsofthsm2.so"
PIN: Final = "918273"
TOKEN: Final = "mail"


def make_token(folder: Path) -> None:
    """A token that `SOFTHSM2_CONF`, set in the environment, leads to."""
    (folder / "tokens").mkdir()
    (folder / "softhsm.conf").write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\n")
    os.environ["SOFTHSM2_CONF"] = str(folder / "softhsm.conf")
    _run("--init-token", "--free", "--label", TOKEN, "--so-pin", "564738", "--pin", PIN)


def put_key(folder: Path, pem: bytes, label: str, number: int) -> None:
    """Let the token have an RSA key."""
    file = folder / "import.pem"
    file.write_bytes(pem)
    _run("--import", str(file), "--token", TOKEN, "--label", label, "--id", f"{number:02x}", "--pin", PIN)
    file.unlink()


def _run(*arguments: str) -> None:
    done = subprocess.run(["softhsm2-util", *arguments], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
