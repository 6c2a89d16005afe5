"""One fake identity provider for all tests of access tokens, as new for each of them."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.support.identityprovider import IdentityProvider
from tests.support.oauth import Kit


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IdentityProvider]:
    with IdentityProvider(tmp_path_factory.mktemp("provider")) as provider:
        yield provider


@pytest.fixture
def provider(served: IdentityProvider) -> Iterator[IdentityProvider]:
    """As new for each test, with the same keys."""
    keys = dict(served.keys)
    yield served
    served.gate.set()
    served.keys = keys
    for changed in (served.hidden, served.extra, served.bodies, served.active, served.asked, served.authorized):
        changed.clear()


@pytest.fixture
async def kit(provider: IdentityProvider) -> AsyncIterator[Kit]:
    made = Kit(provider)
    yield made
    for source in made.made:
        await source.close()
    await asyncio.sleep(0)
