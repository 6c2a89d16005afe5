"""Which policies are asked, for each listener: built from one configuration, in the order in which they are asked.

First those that defend us against the peer, then those that say who it is, then the operator's rules, and last who may
relay: at stage rcpt the first verdict wins, and without any a recipient is refused. Stages nobody has an opinion on get
no chain and cost nothing.
"""

from typing import Final, TypeVar, cast

from postroad.house.asked import Asked
from postroad.house.lookout import Shield
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policies.known_recipients import KnownRecipients, Knows
from postroad.policies.relay_control import RelayControl
from postroad.policies.rules import Rules
from postroad.policy.chain import Chain, Policy
from postroad.policy.context import (
    AuthContext,
    ConnectContext,
    DataContext,
    HelloContext,
    MailContext,
    MessageContext,
    RcptContext,
)
from postroad.policy.stages import Stages

POLICY_SECONDS: Final = 30.0
NO_SHIELD: Final = Shield()

Context = TypeVar("Context")


class Policing:
    """The policies of one configuration."""

    def __init__(  # noqa: PLR0913  the composition root passes every part
        self,
        control: RelayControl,
        knows: Knows | None,
        asked: Asked,
        rules: Rules | None,
        emit: Emit,
        clock: Clock,
        *,
        shield: Shield = NO_SHIELD,
    ) -> None:
        """`knows` tells whether a recipient may exist; `asked` are the policies of `[[policies]]`.

        `emit` and `clock` are for records of faults.
        """
        self._control = control
        self._knows = knows
        self._shield = shield
        self._asked = asked
        self._rules = rules
        self._emit = emit
        self._clock = clock
        self._stages: dict[str, Stages] = {}

    def stages_of(self, listener: str) -> Stages:
        """The policies for what comes in by `listener`; drops and the HTTP API have names too."""
        found = self._stages.get(listener)
        if found is None:
            found = self._stages[listener] = self._build(listener)
        return found

    def _build(self, listener: str) -> Stages:
        rules = self._rules
        ruled = () if rules is None else (rules.rules_at_rcpt,)
        rcpt: tuple[Policy[RcptContext], ...] = (*self._named("rcpt", listener, RcptContext), *ruled, self._control)
        if self._knows is not None:
            rcpt = (KnownRecipients(self._knows, self._control), *rcpt)
        shield = self._shield
        at_connect = rules.rules_at_connect if rules is not None and rules.has_connect else None
        at_mail = None if rules is None else rules.rules_at_mail
        at_message = rules.rules_at_message if rules is not None and rules.has_message else None
        return Stages(
            rcpt=self._chain("rcpt", rcpt),
            connect=self._some("connect", listener, ConnectContext, at_connect, shield.connect),
            hello=self._some("hello", listener, HelloContext),
            auth=self._some("auth", listener, AuthContext),
            mail=self._some("mail", listener, MailContext, at_mail, shield.mail),
            data=self._some("data", listener, DataContext),
            message=self._some("message", listener, MessageContext, at_message, shield.message),
        )

    def _named(self, stage: str, listener: str, _: type[Context]) -> tuple[Policy[Context], ...]:
        """Those of `[[policies]]`; what a function says of its context was looked at when it was read."""
        return tuple(cast("Policy[Context]", policy) for policy in self._asked.of(stage, listener))

    def _some(
        self,
        stage: str,
        listener: str,
        kind: type[Context],
        last: Policy[Context] | None = None,
        first: tuple[Policy[Context], ...] = (),
    ) -> Chain[Context] | None:
        """The chain of a stage: `first` those of the shield, then those of `[[policies]]`, `last` that of the rules."""
        policies = (*first, *self._named(stage, listener, kind))
        if last is not None:
            policies = (*policies, last)
        return self._chain(stage, policies) if policies else None

    def _chain(self, stage: str, policies: tuple[Policy[Context], ...]) -> Chain[Context]:
        return Chain[Context](stage, policies, timeout=POLICY_SECONDS, emit=self._emit, now=self._clock.now)
