"""MTA-STS of one configuration: whom policies are fetched from, by which authorities, and where they are kept.

Nothing is opened before mail first asks, so nobody without `tls_out.mta_sts` pays for it. RFC 8461 3.3: the web server
must prove itself, redirects are not followed, and a fetch ends after a minute.
"""

from typing import Final

from postroad import VERSION
from postroad.config.schema import Config
from postroad.model.dns import Lookup
from postroad.model.late import Late
from postroad.model.records import Emit
from postroad.model.security import TlsObserver
from postroad.net.clock import Clock
from postroad.net.http.fetching import Answer, Fetching, MakeFetcher
from postroad.routing.mtasts import SIZE_LIMIT
from postroad.routing.stscache import StsPolicies
from postroad.routing.tlssettings import NONE
from postroad.store.stspolicies import StsStore

FETCH_SECONDS: Final = 60.0
_FETCHER: Final = Late[MakeFetcher]("postroad.net.http.fetcher", "make_fetcher")


class LateFetcher:
    """A fetcher that is made at the first question."""

    def __init__(self, ca: str, lookup: Lookup) -> None:
        """Trust `ca`, "": the system's authorities."""
        self._ca = ca
        self._lookup = lookup
        self._fetcher: Fetching | None = None

    async def get(self, url: str) -> Answer:
        """What is at `url`."""
        return await self._made().get(url)

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        """The answer to `body`."""
        return await self._made().post(url, body, headers)

    def _made(self) -> Fetching:
        if self._fetcher is None:
            make = _FETCHER.load()
            agent = f"postroad/{VERSION}"
            self._fetcher = make(timeout=FETCH_SECONDS, agent=agent, limit=SIZE_LIMIT, ca=self._ca, lookup=self._lookup)
        return self._fetcher

    async def close(self) -> None:
        """Close connections."""
        if self._fetcher is not None:
            await self._fetcher.close()


class Sts:
    """The policies, with what they need."""

    def __init__(self, policies: StsPolicies, fetcher: LateFetcher, store: StsStore) -> None:
        """To be closed together."""
        self.policies = policies
        self._fetcher = fetcher
        self._store = store

    async def close(self) -> None:
        """Fetch no more, and let go of the file."""
        await self.policies.close()
        await self._fetcher.close()
        self._store.close()


def sts_of(
    config: Config,
    lookup: Lookup,
    clock: Clock,
    emit: Emit,
    observe: TlsObserver | None = None,
    *,
    reads_only: bool = False,
) -> Sts | None:
    """Those of `config`; None when it asks for none. Who `reads_only` changes nothing of what is kept."""
    if not config.tls_out.mta_sts:
        return None
    ca = "" if config.tls_out.mta_sts_ca == NONE else str(config.tls_out.mta_sts_ca)
    fetcher = LateFetcher(ca, lookup)
    store = StsStore(config.sts_file, reads_only=reads_only)
    policies = StsPolicies(lookup, fetcher.get, store, clock=clock, emit=emit, observe=observe)
    return Sts(policies, fetcher, store)
