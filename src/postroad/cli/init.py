"""`postroad init`: a first configuration from a few answers, checked before it is written.

What is not given as an option is asked for when a person sits there, and else has its default. Nothing is made but
what is told: the file, and with `--make` its user and the folder for mail. A file that is there is left alone.
"""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from postroad.cli.check import summary
from postroad.cli.exits import OK, complain, guarded
from postroad.config.load import inspect_config
from postroad.config.starter import Answers, starter
from postroad.model.errors import ConfigError
from postroad.net.hostname import host_name
from postroad.net.process.rights import give_to_user, is_root

HOME: Final = "/var/lib/postroad"
NO_LOGIN: Final = "/usr/sbin/nologin"

File = Annotated[Path, typer.Option("-c", "--config", metavar="FILE", help="The file to write.")]
Hostname = Annotated[str, typer.Option("--hostname", help="Our name in the world.", show_default=False)]
Listen = Annotated[
    list[str] | None, typer.Option("--listen", metavar="ADDRESS:PORT", help="Where mail comes in.", show_default=False)
]
Networks = Annotated[
    list[str] | None,
    typer.Option("--network", help="A network whose machines may send to anyone.", show_default=False),
]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", help="A domain of our own, mail for it is taken.", show_default=False)
]
DeliverTo = Annotated[
    list[str] | None, typer.Option("--deliver-to", metavar="NEXT_HOP", help="Where mail for our domains goes.")
]
SmartHost = Annotated[
    str, typer.Option("--smart-host", metavar="NEXT_HOP", help="Where all other mail goes instead of its MX.")
]
DataDir = Annotated[str, typer.Option("--data-dir", help="The folder for mail that waits.", show_default=False)]
User = Annotated[str, typer.Option("--user", help="Whom to become after a start as root.", show_default=False)]
Make = Annotated[bool, typer.Option("--make", help="Make the user (as root) and the folder for mail, too.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: what is not given has its default.")]


@guarded
def init(
    config: File = Path("postroad.toml"),
    hostname: Hostname = "",
    listen: Listen = None,
    network: Networks = None,
    domain: Domains = None,
    deliver_to: DeliverTo = None,
    smart_host: SmartHost = "",
    data_dir: DataDir = "",
    user: User = "",
    make: Make = False,
    yes: Yes = False,
) -> int:
    """Write a first configuration, with comments, after a few questions.

    Example: postroad init -c postroad.toml --domain example.com --deliver-to smtp://mail1.internal:25 --yes
    """
    if config.exists():
        raise FileExistsError(f"{config} is there already, and is left as it is: name another file with -c")
    ask = Asker(asks=not yes and sys.stdin.isatty())
    domains = ask.several("Domains of your own, mail for them is taken (none: only relay out)", domain, ())
    answers = Answers(
        hostname=ask.one("Name of this server", hostname, host_name()),
        listen=ask.several("Addresses and ports to listen on", listen, ("0.0.0.0:25", "[::]:25")),
        networks=ask.several("Networks that may send to anyone", network, ("127.0.0.0/8", "::1/128")),
        domains=domains,
        deliver_to=ask.several("Where their mail goes, like smtp://host:25", deliver_to, ()) if domains else (),
        others=(ask.one('Where all other mail goes ("mx", or a smart host)', smart_host, "mx"),),
        data_dir=ask.one("Folder for mail that waits", data_dir, HOME if is_root() else "data"),
        user=ask.one("User to run as", user, "postroad") if is_root() or user else "",
    )
    if domains and not answers.deliver_to:
        raise typer.BadParameter("--domain needs --deliver-to: where mail for it goes")
    shown = _write(config, starter(answers))
    print(f"wrote {config}: {shown}")
    _prepare(answers, config.parent, make=make)
    print(f"next: postroad check -c {config}")
    return OK


class Asker:
    """Asks for what was not given, where somebody can answer."""

    def __init__(self, *, asks: bool) -> None:
        """Without `asks` defaults are taken."""
        self.asks = asks

    def one(self, question: str, given: str, default: str) -> str:
        """One answer."""
        if given or not self.asks:
            return given or default
        return str(typer.prompt(question, default=default)).strip()

    def several(self, question: str, given: list[str] | None, default: tuple[str, ...]) -> tuple[str, ...]:
        """Answers with spaces or commas between them."""
        if given or not self.asks:
            return tuple(given or default)
        text = typer.prompt(question, default=" ".join(default), show_default=bool(default))
        return tuple(str(text).replace(",", " ").split())


def _write(file: Path, text: str) -> str:
    """Check `text` as if it were `file`, then put it there whole; ConfigError and nothing written when it is broken."""
    if not file.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {file.parent}: make it first")
    with tempfile.TemporaryDirectory(prefix="postroad-init-") as folder:
        draft = Path(folder) / file.name
        draft.write_text(text, encoding="utf-8")
        loaded = inspect_config(draft)
        if loaded.config is None:
            lines = loaded.lines(loaded.problems)
            raise ConfigError([line.replace(str(draft), "what you said") for line in lines])
        for line in loaded.lines(loaded.warnings):
            complain(f"warning: {line.replace(str(draft), str(file))}")
    with file.open("x", encoding="utf-8") as out:  # "x": a file that has appeared meanwhile is not replaced
        out.write(text)
    return summary(inspect_config(file).config or loaded.config)


def _prepare(answers: Answers, folder: Path, *, make: bool) -> None:
    """Make the user and the folder for mail, or tell how."""
    data_dir = (folder / Path(answers.data_dir).expanduser()).absolute()
    missing = bool(answers.user) and not _is_known(answers.user)
    command = [
        "useradd",
        "--system",
        "--home-dir",
        str(data_dir),
        "--no-create-home",
        "--shell",
        NO_LOGIN,
        "--",
        answers.user,
    ]
    if not make:
        if missing:
            print(f"not made: the user {answers.user}; make it with: {' '.join(command)}")
        if not data_dir.is_dir():
            print(f"not made: {data_dir}; it is made at the first start")
        return
    if missing:
        program = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
        if not is_root() or program is None:
            raise PermissionError(f"only root can make the user {answers.user}, with: {' '.join(command)}")
        made = subprocess.run([program, *command[1:]], check=False)  # noqa: S603  no shell, and the name is behind "--"
        if made.returncode != 0:
            raise OSError(f"the user {answers.user} could not be made: useradd left with {made.returncode}")
        print(f"made the user {answers.user}")
    if not data_dir.is_dir():
        if answers.user:
            give_to_user(answers.user, data_dir)
        else:
            data_dir.mkdir(mode=0o700, parents=True)
        print(f"made {data_dir}")


def _is_known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
