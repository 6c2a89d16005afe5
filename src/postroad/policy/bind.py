"""From a function to a policy: what its signature says of its stage, its options and what else it needs (*pure*).

A policy is a function (or an object that can be called) of one context, whose type names the stage. Keyword-only
parameters are its options, read from the configuration and converted by their types; those whose type is a service
(the resolver, the clock, ...) are given by the server. Nothing is registered and nothing is inherited.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial, update_wrapper
from types import MappingProxyType
from typing import Annotated, Final, cast, get_args, get_origin, get_type_hints

from msgspec import Struct
from pydantic import create_model
from pydantic.errors import PydanticUserError

from postroad.model.errors import BindError
from postroad.model.option import Secret, Settings
from postroad.policy.chain import Policy
from postroad.policy.context import (
    AuthContext,
    ConnectContext,
    DataContext,
    HelloContext,
    MailContext,
    MessageContext,
    RcptContext,
)

Function = Callable[..., object]
Check = Callable[[Mapping[str, object]], str]
STAGES: Final[Mapping[object, str]] = MappingProxyType(
    {
        ConnectContext: "connect",
        HelloContext: "hello",
        AuthContext: "auth",
        MailContext: "mail",
        RcptContext: "rcpt",
        DataContext: "data",
        MessageContext: "message",
    }
)


def _not_revealed(secret: Secret, option: str) -> str:
    raise BindError(f"{option}: nobody reads secrets here: {secret}")


class BuiltIn(Struct, frozen=True):
    """A policy that comes with Postroad; `check` tells what is wrong with its options taken together, or "".

    `judges_client` says that it refuses clients, whoever they write to, and never takes anything: it is asked before
    names are looked up for them.
    """

    function: Function
    check: Check | None = None
    judges_client: bool = False


class Declaration(Struct, frozen=True):
    """What a function says of itself: `options` is the type of its options, `services` what it needs by parameter."""

    name: str
    stage: str
    function: Function
    options: type[Settings]
    services: Mapping[str, object]
    text: str


def declaration_of(function: object, services: Mapping[object, str]) -> Declaration:
    """What the signature of `function` says; `services` has what may be asked for by type, and what it is called."""
    if not callable(function):
        raise BindError("it is no function")
    name = getattr(function, "__name__", type(function).__name__)
    hints = _hints(function)
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        raise BindError("it has no signature to read its options from") from None
    stage = _stage(parameters[:1], hints)
    options: dict[str, tuple[object, object]] = {}
    wanted: dict[str, object] = {}
    for parameter in parameters[1:]:
        if parameter.kind is not parameter.KEYWORD_ONLY:
            if parameter.kind is parameter.VAR_KEYWORD or parameter.default is parameter.empty:
                raise BindError(f"its parameter {parameter.name} must be keyword-only, behind a *")
            continue  # of no concern to us
        if parameter.name not in hints:
            raise BindError(f"its option {parameter.name} needs a type")
        kind = hints[parameter.name]
        if _service(kind) in services:
            wanted[parameter.name] = _service(kind)
        else:
            options[parameter.name] = (kind, ... if parameter.default is parameter.empty else parameter.default)
    return Declaration(name, stage, function, _model(name, options), wanted, inspect.getdoc(function) or "")


def bound(
    declaration: Declaration,
    options: Settings,
    services: Mapping[object, object],
    reveal: Callable[[Secret, str], str] = _not_revealed,
) -> Policy[object]:
    """The policy: the function with its options and services in place; secrets are read by `reveal`."""
    given: dict[str, object] = {}
    for name in type(options).model_fields:
        value = getattr(options, name)
        if isinstance(value, Secret):
            value = reveal(value, f"{declaration.name}.{name}") if value else ""
        given[name] = value
    given |= {name: services[kind] for name, kind in declaration.services.items()}
    policy = partial(declaration.function, **given) if given else declaration.function
    if isinstance(policy, partial):
        update_wrapper(policy, declaration.function)
        policy.__dict__.setdefault("__name__", declaration.name)
    return cast("Policy[object]", policy)


def fitted(declaration: Declaration, given: Mapping[str, object]) -> dict[str, object]:
    """`given` with lists and sets where the options want them, as TOML knows but one kind of array."""
    fields = declaration.options.model_fields
    out: dict[str, object] = {}
    for name, value in given.items():
        origin = get_origin(fields[name].annotation) if name in fields else None
        out[name] = origin(value) if isinstance(value, tuple) and origin in (list, set, frozenset) else value
    return out


def _hints(function: object) -> dict[str, object]:
    target = function if inspect.isfunction(function) or inspect.ismethod(function) else type(function).__call__
    try:
        return get_type_hints(target, include_extras=True)
    except (NameError, TypeError, AttributeError) as error:
        raise BindError(f"its types cannot be read: {error}") from None


def _stage(first: list[inspect.Parameter], hints: Mapping[str, object]) -> str:
    stage = STAGES.get(hints.get(first[0].name)) if first else None
    if stage is None:
        known = ", ".join(getattr(kind, "__name__", "") for kind in STAGES)
        raise BindError(f"the type of its first parameter must say at which stage it is asked: one of {known}")
    return stage


def _service(kind: object) -> object:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _model(name: str, options: Mapping[str, tuple[object, object]]) -> type[Settings]:
    for option in options:
        if option.startswith("_") or hasattr(Settings, option):
            raise BindError(f"an option cannot be called {option}; choose another name")
        if option in {"use", "listeners"}:
            raise BindError(f"an option cannot be called {option}: every policy has that key")
    fields: dict[str, object] = dict(options)
    try:
        return cast("type[Settings]", create_model(f"{name}Options", __base__=Settings, **fields))  # type: ignore[call-overload]  # names are not known beforehand
    except (PydanticUserError, TypeError) as error:
        raise BindError(f"its options cannot be read: {str(error).splitlines()[0]}") from None
