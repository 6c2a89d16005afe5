"""The rules of a configuration, ready to be asked: compiled with their files, and tried before they are in force.

A rule that cannot be used, or a case of `[[expect]]` that does not come out as expected, is an error of the
configuration, at a start as in a reload.
"""

from postroad.config.checks.rules import try_rules
from postroad.config.problem import render
from postroad.config.rulebook import Ruling, ruling_of
from postroad.config.schema import Config
from postroad.model.errors import ConfigError
from postroad.model.records import Emit
from postroad.net.clock import Clock, SystemClock
from postroad.policies.rules import Rules


def read_rules(config: Config) -> Ruling:
    """The rules of `config` with their files; ConfigError when one is broken or does not do what is expected. Slow."""
    ruling = ruling_of(config)
    if problems := try_rules(config, ruling, SystemClock().now()):
        raise ConfigError([render(problem, {}) for problem in problems])
    return ruling


def rules_as_policies(ruling: Ruling, emit: Emit, clock: Clock) -> Rules | None:
    """The rules as they are asked; None without any. `emit` hears of files that have changed."""
    if ruling.rulebook is None:
        return None
    return Rules(ruling.rulebook, clock.now, ruling.files.watch(emit))
