"""The tables of one configuration that mail is taken by: aliases, and who exists; each kept by a reload that leaves it.

What is not taken over is closed when nobody uses it any more. Reading is slow: a reload does it in a thread.
"""

from msgspec import Struct

from postroad.aliases.load import load as load_aliases
from postroad.aliases.service import AliasService
from postroad.config.checks.aliases import bounds_of, passwords_of, problem_of
from postroad.config.checks.recipients import recipient_passwords, recipient_problem
from postroad.config.problem import render
from postroad.config.schema import Config
from postroad.house.asking import Asker
from postroad.house.courier import bound_to
from postroad.model.errors import ConfigError
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.policies.known_recipients import Knows
from postroad.recipients.door import Recipients
from postroad.recipients.load import Loaded, load
from postroad.recipients.service import RecipientService


class Tables(Struct, frozen=True):
    """What was read."""

    aliases: AliasService
    recipients: RecipientService

    @property
    def services(self) -> tuple[AliasService | RecipientService, ...]:
        """What is started and closed."""
        return self.aliases, self.recipients

    @property
    def knows(self) -> Knows | None:
        """Whether a recipient may exist; None when every name may, in every domain."""
        door = self.aliases.door
        if self.recipients.tables:
            return Recipients((*(() if door is None else door.tables), *self.recipients.tables)).knows
        return door.knows if door is not None and door.has_strict else None

    def start(self, clock: Clock, emit: Emit, before: "Tables | None" = None) -> None:
        """Look after what is not that of `before`, which is looked after already."""
        running = () if before is None else before.services
        for service in self.services:
            if service not in running:
                service.start(clock, emit)

    async def close(self, *kept: "Tables") -> None:
        """Let go of what none of `kept` has too."""
        for service in self.services:
            if all(service not in other.services for other in kept):
                await service.close()


class Before(Struct, frozen=True):
    """The tables in force, and the configuration that they were read by."""

    config: Config
    tables: Tables


def read_tables(config: Config, clock: Clock, emit: Emit, before: Before | None = None) -> Tables:
    """The tables of `config`, those in force where the options are the same; ConfigError when one is broken."""
    if before is not None and _has_same_aliases(before.config, config):
        aliases = before.tables.aliases
    else:
        aliases = AliasService(load_aliases(config.aliases, passwords_of(config)), bounds_of(config))
    if before is not None and _asks_alike(before.config, config):
        recipients = before.tables.recipients
    else:
        recipients = _read_recipients(config, clock, emit)
    broken = [problem_of(fault) for fault in aliases.broken]
    broken += [recipient_problem(fault) for fault in recipients.broken]
    if broken:
        raise ConfigError([render(problem, {}) for problem in broken])
    return Tables(aliases, recipients)


def _read_recipients(config: Config, clock: Clock, emit: Emit) -> RecipientService:
    if not config.recipients:
        return RecipientService(Loaded([], [], [], [], []))
    asker = Asker(config, clock, emit)
    return RecipientService(load(config.recipients, asker, recipient_passwords(config)), asker.close)


def _has_same_aliases(old: Config, new: Config) -> bool:
    # A password in a file may have changed though the options have not.
    return not passwords_of(new) and old.aliases == new.aliases and bounds_of(old) == bounds_of(new)


def _asks_alike(old: Config, new: Config) -> bool:
    """True when all that decides who is asked, and how, is the same."""
    if may_differ(new) or old.recipients != new.recipients:
        return False
    if any(entry.ldap for entry in new.recipients) and old.directories != new.directories:
        return False
    return not any(entry.call_ahead for entry in new.recipients) or _way_of(old) == _way_of(new)


def may_differ(config: Config) -> bool:
    """True when what recipients are asked with may be another though no option is: files and secrets behind options."""
    if recipient_passwords(config):
        return True
    used = {entry.ldap.directory for entry in config.recipients if entry.ldap is not None}
    if any(config.directories[name].bind_password or config.directories[name].ca for name in used):
        return True
    is_asked = any(entry.call_ahead for entry in config.recipients)
    return is_asked and any(source.proxy.file or source.proxy.env for source in config.sources.values())


def _way_of(config: Config) -> tuple[object, ...]:
    sending = config.delivery, config.sources, config.pools, config.hostname, config.resolver
    return *sending, config.tls_out, config.routes, config.egress, list(bound_to(config))
