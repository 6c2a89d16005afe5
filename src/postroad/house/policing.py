"""Which policies are asked, for each listener: built from one configuration, in the order in which they are asked.

First those that defend us against the peer, then those that say who it is, then the operator's rules, and last who may
relay: at stage rcpt the first verdict wins, and without any a recipient is refused. Stages nobody has an opinion on get
no chain and cost nothing.
"""

from typing import Final, TypeVar

from postroad.house.lookout import Shield
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policies.known_recipients import KnownRecipients, Knows
from postroad.policies.relay_control import RelayControl
from postroad.policy.chain import Chain, Policy
from postroad.policy.context import RcptContext
from postroad.policy.stages import Stages

POLICY_SECONDS: Final = 30.0

Context = TypeVar("Context")


class Policing:
    """The policies of one configuration."""

    def __init__(self, control: RelayControl, knows: Knows | None, shield: Shield, emit: Emit, clock: Clock) -> None:
        """`knows` tells whether a recipient may exist; `emit` and `clock` are for records of faults."""
        self._control = control
        self._knows = knows
        self._shield = shield
        self._emit = emit
        self._clock = clock
        self._stages: dict[str, Stages] = {}

    def stages_of(self, listener: str) -> Stages:
        """The policies for what comes in by `listener`; drops and the HTTP API have names too."""
        found = self._stages.get(listener)
        if found is None:
            found = self._stages[listener] = self._build()
        return found

    def _build(self) -> Stages:
        rcpt: tuple[Policy[RcptContext], ...] = (self._control,)
        if self._knows is not None:
            rcpt = (KnownRecipients(self._knows, self._control), *rcpt)
        shield = self._shield
        return Stages(
            rcpt=self._chain("rcpt", rcpt),
            connect=self._chain_of("connect", shield.connect),
            mail=self._chain_of("mail", shield.mail),
            message=self._chain_of("message", shield.message),
        )

    def _chain_of(self, stage: str, policies: tuple[Policy[Context], ...]) -> Chain[Context] | None:
        """A chain where somebody has an opinion."""
        return self._chain(stage, policies) if policies else None

    def _chain(self, stage: str, policies: tuple[Policy[Context], ...]) -> Chain[Context]:
        return Chain[Context](stage, policies, timeout=POLICY_SECONDS, emit=self._emit, now=self._clock.now)
