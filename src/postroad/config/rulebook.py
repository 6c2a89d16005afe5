"""The rules of a configuration, compiled: those of `[senders]` and `[devices]`, then `[[rules]]`, with their files.

The engine for regular expressions is imported when a rule has one, and not before.
"""

from pathlib import Path
from typing import Final, TypeVar

from msgspec import Struct

from postroad.config.problem import Problem
from postroad.config.schema import Config
from postroad.model.address import NULL_PATH, Mailbox
from postroad.model.errors import PostroadError
from postroad.model.late import Late
from postroad.model.option import Settings
from postroad.policies.listfiles import ListFiles
from postroad.policies.relay_control import RelayControl
from postroad.policy.globs import Compile, Test
from postroad.policy.rules.book import Fault, Rulebook, compile_rules
from postroad.policy.rules.conditions import Tools
from postroad.policy.rules.owners import Delegations
from postroad.policy.rules.standing import Standing, standing_rules
from postroad.policy.rules.text import ListFileSettings

S = TypeVar("S", bound=Settings)

EXPRESSIONS: Final = Late[Compile]("postroad.policies.expressions", "compile_expression")


class Ruling(Struct, frozen=True):
    """The rules, None when there are none, with the files they read and what speaks against them."""

    rulebook: Rulebook | None
    files: ListFiles
    problems: list[Problem]


def ruling_of(config: Config) -> Ruling:
    """The rules of `config`; slow when they are in large files."""
    files, problems = ListFiles(), list[Problem]()
    if not (config.rules or config.devices or config.senders.bind):
        return Ruling(None, files, problems)
    control = RelayControl(config.access, NULL_PATH)

    def is_local(mailbox: Mailbox) -> bool:
        return control.relay_domain_of(mailbox) is not None

    tools = Tools(_compile_regex, files.file, is_local)
    standing = _standing(config, tools, files, problems)
    faults: list[Fault] = []
    rules = compile_rules(config.rules, tools, len(standing.rules), faults)
    problems += [Problem(("rules", fault.at), fault.why) for fault in faults]
    return Ruling(Rulebook([*standing.rules, *rules], standing.grants), files, problems)


def _standing(config: Config, tools: Tools, files: ListFiles, problems: list[Problem]) -> Standing:
    delegates = config.senders.delegates
    try:
        owners = Delegations(files.file(delegates) if delegates else None)
    except (ValueError, PostroadError) as error:
        problems.append(Problem(("senders", "delegates"), f'"{delegates}": {error}'))
        owners = Delegations(None)
    try:
        return standing_rules(config.senders, config.devices, tools, owners)
    except (ValueError, PostroadError) as error:
        problems.append(Problem(("devices",) if config.devices else ("senders",), str(error)))
        return Standing([], [])


def _compile_regex(text: str) -> Test:
    return EXPRESSIONS.load()(text)


def anchored_rules(config: Config, folder: Path) -> dict[str, object]:
    """The options of `config` about rules, with relative files taken from `folder`."""
    return {
        "rules": tuple(rule.model_copy(update={"when": _anchored(rule.when, folder)}) for rule in config.rules),
        "devices": {name: _anchored(device, folder) for name, device in config.devices.items()},
        "senders": _anchored(config.senders, folder),
    }


def _anchored(settings: S, folder: Path) -> S:
    changed: dict[str, object] = {}
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, tuple) and any(isinstance(one, ListFileSettings) for one in value):
            changed[name] = tuple(_anchored_entry(one, folder) for one in value)
        elif name == "header" and isinstance(value, dict):
            changed[name] = {key: tuple(_anchored_entry(one, folder) for one in texts) for key, texts in value.items()}
        elif name == "delegates" and value:
            changed[name] = _absolute(value, folder)
    return settings.model_copy(update=changed) if changed else settings


def _anchored_entry(entry: object, folder: Path) -> object:
    return ListFileSettings(file=_absolute(entry.file, folder)) if isinstance(entry, ListFileSettings) else entry


def _absolute(file: str, folder: Path) -> str:
    return str((folder / Path(file).expanduser()).absolute())
