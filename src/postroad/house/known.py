"""What was read of files and databases for one configuration: tables, who may log in, certificates, policies, rules.

A reload takes over what it leaves as it is, so that nothing is read, forgotten or asked anew for its sake. Reading is
slow: a reload does it in a thread. What is given up is closed when no session uses it any more.
"""

from msgspec import Struct

from postroad.auth.service import AuthService
from postroad.config.checks.aliases import passwords_of
from postroad.config.policies import Prepared, is_own
from postroad.config.rulebook import Ruling
from postroad.config.schema import Config
from postroad.house.asked import read_policies
from postroad.house.identities import has_same_auth, read_auth
from postroad.house.issuers import has_same_issuers
from postroad.house.returns import has_files
from postroad.house.ruling import read_rules
from postroad.house.securing import read_certificates
from postroad.house.signatures import has_key_files, signatures_of
from postroad.house.sources import reads_elsewhere as secrets_elsewhere
from postroad.house.tables import Before, Tables, may_differ, read_tables
from postroad.listener.sign import Signatures
from postroad.model.greylisting import Greylist
from postroad.model.records import Emit
from postroad.net.clock import Clock
from postroad.net.tls.certificates import Certificates
from postroad.net.tls.keyfiles import KeyStore
from postroad.queue.own import SignOwn


class Known(Struct, frozen=True):
    """All of it, as `config` says."""

    config: Config
    tables: Tables
    auth: AuthService
    certificates: Certificates
    policies: tuple[Prepared, ...]
    ruling: Ruling
    signatures: Signatures | None = None

    def start(self, clock: Clock, emit: Emit, before: "Known | None" = None) -> None:
        """Look after what is not that of `before`, which is looked after already."""
        self.tables.start(clock, emit, before=None if before is None else before.tables)
        if before is None or self.auth is not before.auth:
            self.auth.start(emit)

    async def close(self, *kept: "Known") -> None:
        """Let go of what none of `kept` has too; certificates are another matter."""
        await self.tables.close(*(other.tables for other in kept))
        if all(self.auth is not other.auth for other in kept):
            await self.auth.close()


def read_known(config: Config, keys: KeyStore, clock: Clock, emit: Emit, old: Known | None = None) -> Known:
    """What `config` needs, of `old` where that is the same; ConfigError when something cannot be used. Slow."""
    policies = read_policies(config)
    certificates = read_certificates(config, keys, None if old is None else old.certificates)
    auth = old.auth if old is not None and has_same_auth(old.config, config) else read_auth(config, clock)
    tables = read_tables(config, clock, emit, None if old is None else Before(old.config, old.tables))
    return Known(config, tables, auth, certificates, policies, read_rules(config), signatures_of(config))


def own_signer(known: Known) -> SignOwn | None:
    """What signs mail that we make; None without keys."""
    return None if known.signatures is None else known.signatures.own


def reads_elsewhere(config: Config) -> bool:
    """True when what is known may have changed though no option has: secrets, certificates, tables, own policies."""
    return (
        bool(passwords_of(config))
        or may_differ(config)
        or secrets_elsewhere(config)
        or has_files(config)
        or has_key_files(config)
        or not has_same_issuers(config)
        or any(map(is_own, config.policies))
    )


def read_for_show(config: Config, clock: Clock, emit: Emit) -> Known:
    """The same for sessions that have no effect: without keys, which not everybody may read, and what remembers."""
    policies = tuple(one for one in read_policies(config) if Greylist not in one.declaration.services.values())
    tables = read_tables(config, clock, emit)
    auth = read_auth(config, clock)
    return Known(config, tables, auth, Certificates({}, KeyStore()), policies, read_rules(config))
