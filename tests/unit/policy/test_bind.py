"""From functions to policies: stages, options with their types, services."""

from collections.abc import Awaitable, Callable
from typing import Annotated

import pytest
from pydantic import Field, ValidationError

from postroad.model.dns import Lookup
from postroad.model.errors import BindError
from postroad.model.option import Duration, Secret, SecretText, Size
from postroad.model.records import Emit
from postroad.policy.bind import bound, declaration_of, fitted
from postroad.policy.context import ConnectContext, MessageContext, RcptContext
from postroad.policy.sample import sample
from postroad.policy.settings import DomainPattern, Network
from postroad.policy.verdict import Defer, Reject, Verdict
from postroad.smtp import replies
from tests.support.dns import FakeLookup

NO_SECRET = Secret()
SERVICES: dict[object, str] = {Lookup: "asks DNS", Emit: "takes records"}


def limit_recipients(ctx: RcptContext, *, maximum: int = 100) -> Verdict | None:
    """Defer recipients past `maximum`."""
    return Defer(replies.TOO_MANY_RECIPIENTS, "too many") if ctx.taken >= maximum else None


async def unknown_host(ctx: ConnectContext, *, dns: Lookup, zone: str) -> Verdict | None:
    """Refuse clients that `zone` has."""
    answer = await dns(f"x.{zone}", "A")
    return Reject(replies.NOT_SMTP, zone) if answer.records else None


def test_a_function_says_its_stage_and_options() -> None:
    declaration = declaration_of(limit_recipients, SERVICES)
    assert (declaration.name, declaration.stage) == ("limit_recipients", "rcpt")
    assert declaration.text == "Defer recipients past `maximum`."
    assert list(declaration.options.model_fields) == ["maximum"]
    assert declaration.services == {}


def test_a_bound_policy_is_the_function_with_its_options() -> None:
    declaration = declaration_of(limit_recipients, SERVICES)
    options = declaration.options.model_validate({"maximum": 0}, strict=True)
    policy = bound(declaration, options, {})
    assert isinstance(policy(sample(RcptContext)), Defer)
    assert getattr(policy, "__name__", "") == "limit_recipients"  # for the record of a fault
    assert bound(declaration, declaration.options(), {})(sample(RcptContext)) is None


async def test_services_are_given_by_type() -> None:
    declaration = declaration_of(unknown_host, SERVICES)
    assert declaration.services == {"dns": Lookup}
    options = declaration.options.model_validate({"zone": "bl.example.net"})
    policy = bound(declaration, options, {Lookup: FakeLookup({("x.bl.example.net", "A"): ["127.0.0.2"]})})
    answer = policy(sample(ConnectContext))
    assert isinstance(answer, Awaitable)
    assert await answer == Reject(replies.NOT_SMTP, "bl.example.net")


def test_a_function_without_options_is_taken_as_it_is() -> None:
    def nothing(ctx: MessageContext) -> None: ...

    declaration = declaration_of(nothing, SERVICES)
    assert declaration.stage == "message"
    assert bound(declaration, declaration.options(), {}) is nothing


def test_an_object_that_can_be_called_is_a_policy() -> None:
    class Counter:
        """Defer each second recipient."""

        def __init__(self) -> None:
            self.seen = 0

        def __call__(self, ctx: RcptContext, *, step: int = 2) -> Verdict | None:
            self.seen += 1
            return Defer(replies.POLICY_ERROR, "even") if self.seen % step == 0 else None

    declaration = declaration_of(Counter(), SERVICES)
    assert declaration.name == "Counter"
    policy = bound(declaration, declaration.options(), {})
    assert [policy(sample(RcptContext)) is None for _ in range(3)] == [True, False, True]
    assert getattr(policy, "__name__", "") == "Counter"


def test_a_secret_is_read_for_the_policy_and_for_nobody_else() -> None:
    def keyed(ctx: RcptContext, *, key: SecretText, other: SecretText = NO_SECRET) -> Verdict | None:
        return Defer(replies.POLICY_ERROR, f"{key}{other}")

    declaration = declaration_of(keyed, SERVICES)
    options = declaration.options.model_validate({"key": {"env": "KEY"}}, strict=True)
    read: list[str] = []

    def reveal(secret: Secret, option: str) -> str:
        read.append(f"{option} {secret.env}")
        return "opened"

    answer = bound(declaration, options, {}, reveal)(sample(RcptContext))
    assert answer == Defer(replies.POLICY_ERROR, "opened")
    assert read == ["keyed.key KEY"]
    with pytest.raises(BindError):
        bound(declaration, options, {})


def test_types_of_options() -> None:
    def everything(
        ctx: RcptContext,
        *,
        wait: Duration,
        most: Size,
        networks: tuple[Network, ...],
        domains: tuple[DomainPattern, ...],
        names: list[str],
        share: Annotated[float, Field(ge=0, le=1)] = 0.5,
        tell: Emit,
    ) -> None: ...

    declaration = declaration_of(everything, SERVICES)
    given = {
        "wait": "5m",
        "most": "10kB",
        "networks": ("10.0.0.0/8",),
        "domains": ("*.Example.com",),
        "names": ("a", "b"),
        "share": 1,
    }
    options = declaration.options.model_validate(fitted(declaration, given), strict=True)
    shown = options.model_dump()
    assert (shown["wait"], shown["most"], shown["names"]) == (300.0, 10_000, ["a", "b"])
    assert (str(shown["networks"][0]), shown["domains"]) == ("10.0.0.0/8", ("*.example.com",))
    with pytest.raises(ValidationError) as caught:
        declaration.options.model_validate({**given, "share": 2.0, "wait": 5, "maximum": 1}, strict=True)
    assert {error["loc"][0] for error in caught.value.errors()} >= {"share", "wait", "maximum"}


def bare(ctx) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001  what a beginner may write


def positional(ctx: RcptContext, maximum: int) -> None: ...


def untyped(ctx: RcptContext, *, maximum=3) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001


def keywords(ctx: RcptContext, **rest: int) -> None: ...


def unreadable(ctx: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821


def taken(ctx: RcptContext, *, listeners: int = 3) -> None: ...


def shadow(ctx: RcptContext, *, model_dump: int = 3) -> None: ...


def nobody() -> None: ...


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (5, "it is no function"),
        (dict, "no signature|at which stage"),
        (nobody, "at which stage"),
        (bare, "at which stage"),
        (positional, "maximum must be keyword-only"),
        (keywords, "rest must be keyword-only"),
        (untyped, "option maximum needs a type"),
        (unreadable, "types cannot be read"),
        (taken, "every policy has that key"),
        (shadow, "choose another name"),
    ],
)
def test_what_is_no_policy(function: Callable[..., object], words: str) -> None:
    with pytest.raises(BindError, match=words):
        declaration_of(function, SERVICES)
