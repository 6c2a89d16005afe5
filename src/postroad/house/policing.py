"""Which policies are asked, for each listener: built from one configuration, in the order in which they are asked.

First those that defend us against the peer, then those that say who it is, then the operator's rules, and last who may
relay: at stage rcpt the first verdict wins, and without any a recipient is refused. Stages nobody has an opinion on get
no chain and cost nothing.
"""

from collections.abc import Callable
from typing import Final, TypeVar, cast

from msgspec import Struct

from postroad.house.asked import Asked
from postroad.house.guard.lookout import Shield
from postroad.model.counts import Counts, Crowd
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policies.known_recipients import KnownRecipients, Knows
from postroad.policies.rates import RateControl
from postroad.policies.relay_control import RelayControl
from postroad.policies.reports import TakenReports
from postroad.policies.returns import ReturnedMail
from postroad.policies.rules import Rules
from postroad.policy.chain import Chain, Policy, Sealed
from postroad.policy.context import (
    AuthContext,
    ConnectContext,
    DataContext,
    HelloContext,
    MailContext,
    MessageContext,
    RcptContext,
)
from postroad.policy.rates.choice import Choice
from postroad.policy.shield.conduct import Conduct
from postroad.policy.stages import Stages

POLICY_SECONDS: Final = 30.0
NO_SHIELD: Final = Shield()

Context = TypeVar("Context")


class Limits(Struct, frozen=True):
    """What `[[rates]]` are, and where they are counted."""

    choices: tuple[Choice, ...]
    counts: Counts
    crowd: Crowd


class Policing:
    """The policies of one configuration."""

    def __init__(  # noqa: PLR0913  the composition root passes the parts
        self,
        control: RelayControl,
        knows: Knows | None,
        asked: Asked,
        rules: Rules | None,
        emit: Emit,
        clock: Clock,
        *,
        returned: ReturnedMail | None = None,
        reports: TakenReports | None = None,
        limits: Limits | None = None,
        shield: Shield = NO_SHIELD,
    ) -> None:
        """`knows` tells whether a recipient may exist, `returned` whom reports that come back are for.

        `asked` are the policies of `[[policies]]`, `reports` takes those of others out.

        `emit` and `clock` are for records of faults; `limits` are those of `[[rates]]`, if there are any.
        """
        self._control = control
        self._knows = knows
        self._returned = returned
        self._reports = reports
        self._shield = shield
        self._asked = asked
        self._rules = rules
        self._limits = limits
        self._rates: dict[str, RateControl] = {}  # by listener, where there are any
        self._emit = emit
        self._clock = clock
        self._stages: dict[str, Stages] = {}

    def stages_of(self, listener: str) -> Stages:
        """The policies for what comes in by `listener`; drops and the HTTP API have names too."""
        found = self._stages.get(listener)
        if found is None:
            found = self._stages[listener] = self._build(listener)
        return found

    @property
    def watch(self) -> Callable[[Conduct], None] | None:
        """Whoever has to be told how peers behave, if anybody has to."""
        choices = () if self._limits is None else self._limits.choices
        counts_errors = any(choice.count == "errors" for choice in choices)
        guard = self._shield.watch
        if not counts_errors:
            return guard
        return self._count if guard is None else self._tell_both

    def _count(self, conduct: Conduct) -> None:
        rates = self._rates.get(conduct.listener)
        if rates is not None:
            rates.watch(conduct)

    def _tell_both(self, conduct: Conduct) -> None:
        if self._shield.watch is not None:
            self._shield.watch(conduct)
        self._count(conduct)

    def _build(self, listener: str) -> Stages:
        rules, rates = self._rules, self._rates_of(listener)
        ruled = () if rules is None else (rules.rules_at_rcpt,)
        known = () if self._knows is None else (KnownRecipients(self._knows, self._control),)
        returned = () if self._returned is None else (self._returned,)
        judges = self._asked.at_rcpt(listener, judges_client=True)  # whom they refuse causes no look-up of names
        others = self._asked.at_rcpt(listener, judges_client=False)
        rcpt = cast("tuple[Policy[RcptContext], ...]", (*judges, *returned, *known, *others, *ruled, self._control))
        shield = self._shield
        counted = (rates.connect,) if rates is not None and rates.at_connect else ()
        connect = (*shield.connect, *counted, *self._named("connect", listener, ConnectContext))
        mail = (*shield.mail, *self._named("mail", listener, MailContext))
        message = (*shield.message, *self._named("message", listener, MessageContext))
        if rules is not None:
            connect = (*connect, rules.rules_at_connect) if rules.has_connect else connect
            mail = (*mail, rules.rules_at_mail)
            message = (*message, rules.rules_at_message) if rules.has_message else message
        if self._reports is not None:
            message = (*message, self._reports)
        last = (rates.message,) if rates is not None and rates.at_message else ()
        return Stages(
            rcpt=self._chain("rcpt", rcpt, (rates.rcpt,) if rates is not None and rates.at_rcpt else ()),
            connect=self._some("connect", connect),
            hello=self._some("hello", self._named("hello", listener, HelloContext)),
            auth=self._some("auth", (*shield.auth, *self._named("auth", listener, AuthContext))),
            mail=self._some("mail", mail, (rates.mail,) if rates is not None and rates.at_mail else ()),
            data=self._some("data", self._named("data", listener, DataContext)),
            message=self._some("message", message, (*last, *self._asked.stamps(listener))),
        )

    def _rates_of(self, listener: str) -> RateControl | None:
        limits = self._limits
        if limits is None:
            return None
        choices = [choice for choice in limits.choices if choice.is_for_listener(listener)]
        if not choices:
            return None
        rates = RateControl(choices, limits.counts, limits.crowd, self._emit, self._clock.now)
        self._rates[listener] = rates
        return rates

    def _named(self, stage: str, listener: str, _: type[Context]) -> tuple[Policy[Context], ...]:
        """Those of `[[policies]]`; what a function says of its context was looked at when it was read."""
        return tuple(cast("Policy[Context]", policy) for policy in self._asked.of(stage, listener))

    def _some(
        self, stage: str, policies: tuple[Policy[Context], ...], seals: tuple[Policy[Context], ...] = ()
    ) -> Chain[Context] | None:
        """The chain of a stage, if anybody has a say there."""
        return self._chain(stage, policies, seals) if policies or seals else None

    def _chain(
        self, stage: str, policies: tuple[Policy[Context], ...], seals: tuple[Policy[Context], ...] = ()
    ) -> Chain[Context]:
        emit, now = self._emit, self._clock.now
        if seals:
            return Sealed[Context](stage, policies, seals, timeout=POLICY_SECONDS, emit=emit, now=now)
        return Chain[Context](stage, policies, timeout=POLICY_SECONDS, emit=emit, now=now)
