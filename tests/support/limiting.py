"""The policies of listeners with limits of `[[rates]]` and none of `[[policies]]`, over accounts in memory."""

from collections.abc import Iterable, Mapping

from postroad.config.schema import Config
from postroad.house.asked import Asked
from postroad.house.counting.counters import LocalCrowd
from postroad.house.counting.table import table_of
from postroad.house.policing import Limits, Policing
from postroad.message.dmarcreport import Tally
from postroad.model.counts import Counts
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policies.relay_control import RelayControl
from postroad.policies.rules import Rules
from postroad.policy.rates.choice import Choice
from postroad.policy.rates.settings import RateSettings

CONFIG = Config.model_validate({"listeners": {"mx": {"bind": ["127.0.0.1:0"]}}})


def limiting(
    control: RelayControl,
    rates: Iterable[Mapping[str, object]],
    emit: Emit,
    clock: Clock,
    counts: Counts | None = None,
    rules: Rules | None = None,
) -> Policing:
    """Policies with `rates`, which are called r0, r1 and so on unless they have names."""
    choices = tuple(Choice(RateSettings.model_validate({"name": f"r{at}", **rate})) for at, rate in enumerate(rates))
    limits = Limits(choices, counts or table_of(256, is_shared=False), LocalCrowd())
    return Policing(control, None, Asked(CONFIG, (), control, emit, clock, Tally(0)), rules, emit, clock, limits=limits)
