"""`[[policies]]` from the file to functions with checked options, or to every problem that they have.

Functions are imported here; what they need of the server is put in where the server is built (house/policing.py).
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

from msgspec import Struct
from pydantic import ValidationError

from postroad.config.builtins import BUILT_INS
from postroad.config.locate import KeyPath
from postroad.config.mistakes import problems_of
from postroad.config.ownpolicies import find
from postroad.config.problem import Problem
from postroad.config.schema import Config
from postroad.listener.drops import LISTENER as DROPS
from postroad.message.dmarcreport import Tally
from postroad.model.dns import Lookup
from postroad.model.errors import BindError
from postroad.model.greylisting import Greylist
from postroad.model.option import Secret, Settings
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policy.bind import BuiltIn, Declaration, declaration_of, fitted
from postroad.policy.settings import PolicySettings
from postroad.policy.strangers import Faults, Ourselves

SERVICES: Final[Mapping[object, str]] = MappingProxyType(
    {
        Lookup: "asks DNS",
        Clock: "tells the time",
        Emit: "takes records",
        Faults: "takes faults, and tells each once an hour",
        Ourselves: "tells who we are and which recipients are ours",
        Greylist: "remembers who came back",
        Tally: "counts what reports about DMARC tell",
    }
)


class Prepared(Struct, frozen=True):
    """One of `[[policies]]`: as in the file, what its function says of itself, and its options.

    `judges_client`: see `BuiltIn`.
    """

    entry: PolicySettings
    declaration: Declaration
    options: Settings
    judges_client: bool = False

    def concerns(self, listener: str) -> bool:
        """True when it is asked about what comes in by `listener`."""
        return not self.entry.listeners or listener in self.entry.listeners


class Preparation(Struct, frozen=True):
    """All of `[[policies]]` that can be used, in order, and what is wrong with the others."""

    policies: tuple[Prepared, ...] = ()
    problems: tuple[Problem, ...] = ()


def prepare(config: Config) -> Preparation:
    """Import the functions of `config.policies` and check their options. Slow when there are any."""
    policies: list[Prepared] = []
    problems: list[Problem] = []
    for at, entry in enumerate(config.policies):
        path = ("policies", at)
        known = (*config.listeners, DROPS, *([] if config.api is None else ["api"]))
        problems += [
            Problem((*path, "listeners", place), f'"{name}": there is no such listener{_near(name, known)}')
            for place, name in enumerate(entry.listeners)
            if name not in known
        ]
        try:
            built_in = _find(entry.use, config)
            declaration = declaration_of(built_in.function, SERVICES)
        except BindError as error:
            problems.append(Problem((*path, "use"), f'"{entry.use}": {error}'))
            continue
        found = _options(entry, declaration, built_in, path)
        if isinstance(found, Settings):
            policies.append(Prepared(entry, declaration, found, built_in.judges_client))
        else:
            problems += found
    return Preparation(tuple(policies), tuple(problems))


def hidden(config: Config, prepared: Iterable[Prepared]) -> Config:
    """`config` with the secrets among the options of policies as such, so that nobody shows them."""
    entries = {id(one.entry): _hidden(one) for one in prepared}
    return config.model_copy(update={"policies": tuple(entries.get(id(one), one) for one in config.policies)})


def _hidden(prepared: Prepared) -> PolicySettings:
    values = {name: getattr(prepared.options, name) for name in prepared.entry.given}
    secrets = {name: value for name, value in values.items() if isinstance(value, Secret)}
    return prepared.entry.model_copy(update=secrets) if secrets else prepared.entry


def is_own(entry: PolicySettings) -> bool:
    """True when its function is the operator's, so that it may have changed though the configuration has not."""
    return ":" in entry.use


def _find(use: str, config: Config) -> BuiltIn:
    if ":" in use:
        return BuiltIn(find(use, config.policies_path))  # type: ignore[arg-type]  # whether it is a function is looked at next
    late = BUILT_INS.get(use)
    if late is None:
        raise BindError(f'is neither a policy of Postroad nor "module:function"{_near(use, tuple(BUILT_INS))}')
    return late.load()


def _options(
    entry: PolicySettings, declaration: Declaration, built_in: BuiltIn, path: KeyPath
) -> Settings | list[Problem]:
    given = fitted(declaration, entry.given)
    try:
        options = declaration.options.model_validate(given, strict=True)
    except ValidationError as error:
        return [
            Problem((*path, *problem.path), problem.text)
            for problem in problems_of(error, entry.given, declaration.options)
        ]
    if built_in.check is None:
        return options
    wrong = built_in.check({name: getattr(options, name) for name in type(options).model_fields})
    return [Problem(path, wrong)] if wrong else options


def _near(name: str, known: tuple[str, ...]) -> str:
    near = get_close_matches(name, known, 1, 0.6)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
