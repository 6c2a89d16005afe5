"""`postroad dkim new | rotate | show`: keys that sign mail, and what is to be published of them.

Keys are written to files that only their owner can read; nothing of a key but its public half is shown. A rotation is
two steps of DNS and one of the configuration, which is printed with its days.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
import typer
from msgspec import Struct

from postroad.cli.dkimkeys import PUBLISHED, SIGNS, configured, look_up, sealing, shown_lines
from postroad.cli.exits import CANT_CREATE, CONFIG, NO_INPUT, OK, UNAVAILABLE, complain, guarded
from postroad.cli.options import ConfigFile, Json, configuration
from postroad.listener.signsettings import DkimKeySettings
from postroad.mailauth.dkim_facts import MakeKey
from postroad.model.address import parse_domain
from postroad.model.errors import AddressError
from postroad.model.late import Late
from postroad.net.clock import SystemClock

MAKE_KEY: Final = Late[MakeKey]("postroad.mailauth.dkim_private", "MAKE")
KINDS: Final = ("rsa", "ed25519")
SETTLE_DAYS: Final = 2  # until the record is seen everywhere: longer than any usual TTL
NAMES_LIMIT: Final = 1000  # keys of one kind and day
LEAST_BITS: Final = 2048  # of a new RSA key (RFC 8301 3.2)
LONGEST_SECONDS: Final = 30 * 86_400.0  # that mail is thought to be on its way where it never expires
SPARE_DAYS: Final = 7  # that a record stays after the last mail signed by its key was given up

Domain = Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain that signs.")]
Folder = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Where keys are kept; by default `dkim` in data_dir.", show_default=False),
]


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Keys that sign mail (DKIM), and their records in DNS.")
    group.command("new")(new)
    group.command("rotate")(rotate)
    group.command("show")(show)
    return group


@guarded
def new(
    domain: Domain,
    kind: Annotated[Literal["rsa", "ed25519", "both"], typer.Option(help="What kind of key.")] = "both",
    selector: Annotated[
        str, typer.Option(metavar="NAME", help="Its name in DNS; by default from the day.", show_default=False)
    ] = "",
    bits: Annotated[int, typer.Option(min=1024, max=4096, help="Bits of an RSA key.")] = 2048,
    seal: Annotated[bool, typer.Option("--seal", help="An RSA key that seals mail of strangers (ARC).")] = False,
    folder: Folder = None,
    config: ConfigFile = None,
) -> int:
    """Make keys for a domain: files, the records to publish, and the lines for the configuration.

    Example: postroad dkim new example.com
    """
    name = _domain(domain)
    kinds = ("rsa",) if seal else KINDS if kind == "both" else (kind,)
    if selector and len(kinds) > 1:
        raise typer.BadParameter("two keys cannot have one name: say --kind, too", param_hint="--selector")
    place = (folder or configuration(config).data_dir / "dkim") / name
    plans = [_Plan(one, selector or _free(place, one), bits) for one in kinds]
    return _make(name, plans, place, "[dkim.seal]" if seal else "[[dkim.keys]]")


@guarded
def rotate(
    domain: Domain,
    after: Annotated[int, typer.Option(min=0, max=365, metavar="DAYS", help="Days until new keys sign.")] = SETTLE_DAYS,
    folder: Folder = None,
    config: ConfigFile = None,
) -> int:
    """Make a new key for each kind that a domain signs with, and tell what is to be done on which day.

    Example: postroad dkim rotate example.com
    """
    settings, name = configuration(config), _domain(domain)
    keys = configured(settings, name)
    unread = [shown for _, shown in keys if shown.facts is None]
    if unread:
        complain("\n".join(f"{shown.selector}: {shown.state}" for shown in unread))
        return CONFIG
    old = [(one, shown.facts) for one, shown in keys if shown.state == SIGNS and shown.facts is not None]
    if not old:
        complain(f"no key of {name} signs: postroad dkim new {name}")
        return NO_INPUT
    today = _today()
    begins = today + timedelta(days=after)
    place = (folder or settings.data_dir / "dkim") / name
    plans: list[_Plan] = []
    for one, facts in old:
        kind, bits = facts.kind, facts.bits
        taken = [plan.selector for plan in plans]
        bounds = [f"begins = {begins:%Y-%m-%d}", *_bounds(one)]
        plans.append(_Plan(kind, _free(place, kind, taken), max(bits, LEAST_BITS), bounds))
    code = _make(name, plans, place)
    if code == OK:
        longest = timedelta(seconds=min(settings.queue.expire_after, LONGEST_SECONDS))
        gone = begins + longest + timedelta(days=SPARE_DAYS)
        print(f"# {today:%Y-%m-%d}: publish the records, put the lines into the configuration, postroad reload")
        print(f"# {begins:%Y-%m-%d}: the new keys sign, without further ado")
        for one, facts in old:
            print(f"# {gone:%Y-%m-%d}: take {facts.name} out of DNS, {one.selector} out of the configuration")
    return code


@guarded
def show(
    domain: Annotated[str, typer.Argument(metavar="[DOMAIN]", help="Only its keys.", show_default=False)] = "",
    dns: Annotated[bool, typer.Option("--dns", help="Ask DNS whether it has the records.")] = False,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show the configured keys: which of them sign or seal, and the record that DNS must have.

    Exit code 66 without any; with --dns 69 when a key that signs or seals is not known to be published.

    Example: postroad dkim show example.com --dns
    """
    settings = configuration(config)
    name = _domain(domain) if domain else ""
    found = [*(shown for _, shown in configured(settings, name)), *sealing(settings, name)]
    if dns:
        asyncio.run(look_up(settings, found))
    for one in found:
        if as_json:
            print(msgspec.json.encode(one).decode())
        else:
            print("\n".join(shown_lines(one)))
    if not found:
        complain(f"the configuration has no key of {domain}" if domain else "the configuration has no [[dkim.keys]]")
        return NO_INPUT
    return UNAVAILABLE if dns and any(one.is_used and one.published != PUBLISHED for one in found) else OK


class _Plan(Struct):
    kind: str
    selector: str
    bits: int
    bounds: Sequence[str] = ()  # further lines for the configuration


def _free(home: Path, kind: str, taken: Sequence[str] = ()) -> str:
    """A name from the day and the kind that no key in `home` has."""
    name = f"{_today():%Y%m%d}{kind[0]}"
    names = (name, *(f"{name}{number}" for number in range(2, NAMES_LIMIT)))
    return next(one for one in names if one not in taken and not (home / f"{one}.pem").exists())


def _make(domain: str, plans: Sequence[_Plan], home: Path, table: str = "[[dkim.keys]]") -> int:
    paths = [home / f"{plan.selector}.pem" for plan in plans]
    for path in paths:
        if path.exists():
            complain(f"{path} is there already, and is left as it is")
            return CANT_CREATE
    made = [MAKE_KEY.load()(domain, plan.selector, plan.kind, plan.bits) for plan in plans]
    there = next(part for part in home.parents if part.is_dir())
    fresh = [part for part in (home, *home.parents) if not part.exists()]
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path, (pem, _) in zip(paths, made, strict=True):
        _write(path, pem)
    _give((*paths, *fresh), (home if home not in fresh else there).stat())
    print("# To be published in DNS:")
    for _, facts in made:
        print(facts.zone_line)
    print("# For the configuration:")
    for plan, path in zip(plans, paths, strict=True):
        print(f'{table}\ndomain = "{domain}"\nselector = "{plan.selector}"')
        print(f"key = {{ file = {msgspec.json.encode(str(path.absolute())).decode()} }}")
        for line in plan.bounds:
            print(line)
    return OK


def _write(path: Path, pem: bytes) -> None:
    """A new file that its owner alone can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(descriptor)


def _give(made: Sequence[Path], owner: os.stat_result) -> None:
    """Let what root `made` belong to whom the folder around it belongs to: the server must be able to read it."""
    if os.geteuid() == 0:
        for path in made:
            os.chown(path, owner.st_uid, owner.st_gid)


def _bounds(one: DkimKeySettings) -> Iterator[str]:
    """The lines that say what a key signs, for the one that replaces it."""
    for name, values in (("authors", one.authors), ("listeners", one.listeners), ("logins", one.logins)):
        if values:
            yield f"{name} = {msgspec.json.encode(values).decode()}"


def _domain(text: str) -> str:
    try:
        return parse_domain(text)
    except AddressError as error:
        raise typer.BadParameter(f"not a domain: {error}", param_hint="DOMAIN") from None


def _today() -> datetime:
    return datetime.fromtimestamp(SystemClock().now() / 1_000_000, UTC)


def _day() -> str:
    return f"{_today():%Y-%m-%d}"
