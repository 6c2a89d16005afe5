"""The policies of `[[policies]]` with what they need of the server in place: resolver, clock, what is remembered.

Only what one of them asks for is made, and it is let go of with the front it was made for. Without such policies
nothing is.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Final

from postroad.config.policies import Prepared, prepare
from postroad.config.problem import render
from postroad.config.schema import Config
from postroad.config.secrets import read_secret
from postroad.house.courier import bound_to
from postroad.message.dmarcreport import Tally
from postroad.model.dns import Lookup
from postroad.model.errors import ConfigError
from postroad.model.greylisting import Greylist
from postroad.model.late import Late
from postroad.model.records import Emit
from postroad.net.addresses import own_endpoints
from postroad.net.clock import Clock
from postroad.net.dns.resolver import Resolver
from postroad.policies.relay_control import RelayControl
from postroad.policy.bind import bound
from postroad.policy.chain import Policy
from postroad.policy.context import MessageContext
from postroad.policy.strangers import Faults, MakeStamp, Ourselves
from postroad.store.greylist import GreylistFile

STAMP: Final = Late[MakeStamp]("postroad.policies.stamp", "MAKE")
STAMPED: Final = frozenset({"spf", "dkim", "dmarc"})  # what they find out goes into Authentication-Results
RECEIVED_SPF: Final = "received_spf"  # the option of `spf`
GREYLIST_PAIRS: Final = 1_000_000  # about 100 MB


def read_policies(config: Config) -> tuple[Prepared, ...]:
    """The policies that the configuration names; ConfigError with all that is wrong with them. Slow."""
    found = prepare(config)
    if found.problems:
        raise ConfigError([render(problem, {}) for problem in found.problems])
    return found.policies


class Asked:
    """The policies of one configuration."""

    def __init__(
        self,
        config: Config,
        prepared: tuple[Prepared, ...],
        control: RelayControl,
        emit: Emit,
        clock: Clock,
        tally: Tally,
    ) -> None:
        """Nothing is opened yet; `control` knows which recipients are ours."""
        self._tally = tally
        self._config = config
        self._control = control
        self._emit = emit
        self._clock = clock
        wanted = {kind for one in prepared for kind in one.declaration.services.values()}
        services = self._services(wanted)
        self._policies = [(one, bound(one.declaration, one.options, services, read_secret)) for one in prepared]

    def of(self, stage: str, listener: str) -> Iterator[Policy[object]]:
        """Those of a stage for what comes in by a listener, in order."""
        for prepared, policy in self._policies:
            if prepared.declaration.stage == stage and prepared.concerns(listener):
                yield policy

    def at_rcpt(self, listener: str, *, judges_client: bool) -> Iterator[Policy[object]]:
        """Those of stage rcpt that judge the client alone, or the others."""
        for prepared, policy in self._policies:
            if prepared.judges_client is not judges_client:
                continue
            if prepared.declaration.stage == "rcpt" and prepared.concerns(listener):
                yield policy

    def stamps(self, listener: str) -> tuple[Policy[MessageContext], ...]:
        """What writes down what was found out of mail of a listener, where anything is found out at all."""
        stamping = [one for one, _ in self._policies if one.entry.use in STAMPED]
        if not stamping:
            return ()
        finds = any(one.concerns(listener) for one in stamping)
        has_spf = any(getattr(one.options, RECEIVED_SPF, False) for one in stamping)
        return (STAMP.load()(self._config.hostname, finds=finds, has_spf=has_spf),)

    def close(self) -> None:
        """Let go of what was made; nobody is asked any more."""
        if "_resolver" in self.__dict__:
            self._resolver.close()
        if "_greylist" in self.__dict__:
            self._greylist.close()

    def _services(self, wanted: set[object]) -> Mapping[object, object]:
        makers: dict[object, Callable[[], object]] = {
            Lookup: lambda: self._resolver,
            Clock: lambda: self._clock,
            Emit: lambda: self._emit,
            Faults: lambda: Faults(self._emit, self._clock.now),
            Ourselves: self._ourselves,
            Greylist: lambda: self._greylist,
            Tally: lambda: self._tally,
        }
        return {kind: make() for kind, make in makers.items() if kind in wanted}

    @cached_property
    def _resolver(self) -> Resolver:
        return Resolver(self._config.resolver, self._clock)

    @cached_property
    def _greylist(self) -> GreylistFile:
        return GreylistFile(self._config.greylist_file, GREYLIST_PAIRS, self._clock.now)

    def _ourselves(self) -> Ourselves:
        control = self._control
        addresses = frozenset(address for address, _ in own_endpoints(bound_to(self._config)))
        return Ourselves(
            self._config.hostname, addresses, lambda recipient: control.relay_domain_of(recipient) is not None
        )
