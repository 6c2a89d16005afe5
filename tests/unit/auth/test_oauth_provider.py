"""Providers whose keys change, that are slow, down, or talk nonsense; and tokens that have to be asked about.

Time for caches is the hand-driven clock's.
"""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from postroad.auth.keyring import PAUSE
from postroad.auth.source import Denied, Unavailable
from postroad.model.identity import Identity
from tests.support.identityprovider import DISCOVERY, IdentityProvider
from tests.support.oauth import ATTEMPT, NO_KEY, Kit, reason, say
from tests.support.ports import free_port

# -- keys that change, and providers that do not answer --------------------------------------------------


async def test_a_key_that_is_rotated_is_found_and_the_old_one_is_forgotten(kit: Kit) -> None:
    provider, source = kit.provider, kit()
    old = provider.sign()
    assert isinstance(await say(source, old), Identity)
    del provider.keys["rsa"]
    provider.keys["rsa2"] = RSAKey.generate_key(2048)
    new = provider.sign(kid="rsa2")
    assert isinstance(await say(source, new), Unavailable)  # asked a moment ago: a yes, a little later
    assert isinstance(await say(source, old), Identity)
    kit.clock.advance(PAUSE)
    assert isinstance(await say(source, new), Identity)
    assert isinstance(await say(source, old), Unavailable)
    kit.clock.advance(PAUSE)
    assert await reason(source, old) == NO_KEY


async def test_invented_key_ids_cause_one_request_in_a_while(kit: Kit) -> None:
    """Nobody can tell them from new ones without asking the issuer."""
    provider, source = kit.provider, kit()
    for asked in (1, 2):
        answers = [await say(source, provider.sign(kid=f"odd{at}", key=provider.keys["rsa"])) for at in range(20)]
        assert [type(one) for one in answers] == [Denied, *[Unavailable] * 19]
        assert provider.asked.count("/keys") == asked
        kit.clock.advance(PAUSE)


async def test_old_keys_are_fetched_beside_the_log_ins(kit: Kit) -> None:
    provider, source = kit.provider, kit(refresh="10m")
    assert isinstance(await say(source, provider.sign()), Identity)
    kit.clock.advance(600)
    provider.gate.clear()
    for _ in range(5):
        assert isinstance(await say(source, provider.sign()), Identity)
    provider.gate.set()
    while provider.asked.count("/keys") < 2:
        await asyncio.sleep(0.01)


async def test_a_provider_that_is_down_is_no_no(kit: Kit, tmp_path: Path) -> None:
    port = free_port()
    source = kit(issuer=f"https://localhost:{port}/realm")
    token = kit.provider.sign(iss=f"https://localhost:{port}/realm")
    answer = await say(source, token)
    assert isinstance(answer, Unavailable)
    assert token not in repr(answer)
    with IdentityProvider(tmp_path, port=port) as back:
        sound = back.sign()
        assert isinstance(await say(source, sound), Unavailable)  # asked a moment ago
        kit.clock.advance(PAUSE)
        assert isinstance(await say(source, sound), Unavailable)  # of another CA
        other = kit(issuer=back.issuer, ca=str(back.ca))
        assert isinstance(await say(other, sound), Identity)
    kit.clock.advance(23 * 3600)
    later = back.sign(exp=int(time.time()) + 48 * 3600)
    assert isinstance(await say(other, later), Identity)  # its keys hold for a day
    unknown = back.sign(kid="new", key=back.keys["rsa"], exp=int(time.time()) + 48 * 3600)
    assert isinstance(await say(other, unknown), Unavailable)  # it may be a new key
    kit.clock.advance(3600)
    assert isinstance(await say(other, later), Unavailable)


async def test_a_provider_that_is_slow(kit: Kit) -> None:
    kit.provider.gate.clear()
    source = kit(timeout="200ms")
    answers = await asyncio.gather(*(say(source, kit.provider.sign()) for _ in range(10)))
    assert {type(answer) for answer in answers} == {Unavailable}
    assert "no answer within 0.2s" in str(answers[0])
    assert len(kit.provider.asked) <= 1


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/keys", b"{", "the keys are no JWKS"),
        ("/keys", b"[]", "the keys are no JWKS"),
        ("/keys", b'{"keys": 5}', "the keys are no JWKS"),
        ("/keys", b'{"keys": []}', "it has no key that can be used"),
        ("/keys", b"[" * 100_000, "the keys are no JWKS"),
        ("/keys", b'{"keys": [' + b" " * 600_000 + b"]}", "an answer of more than"),
        (DISCOVERY, b"{}", "speaks of another issuer"),
        (DISCOVERY, b"no", "no JSON object"),
        (DISCOVERY, b'{"issuer": "https://else.example"}', "speaks of another issuer"),
    ],
)
async def test_a_provider_that_talks_nonsense(kit: Kit, path: str, body: bytes, words: str) -> None:
    kit.provider.bodies[path] = body
    answer = await say(kit(), kit.provider.sign())
    assert isinstance(answer, Unavailable)
    assert words in answer.reason


async def test_discovery_cannot_lead_away_from_https(kit: Kit) -> None:
    for uri in ("http://localhost/keys", "file:///etc/passwd", 5, None):
        kit.provider.bodies[DISCOVERY] = json.dumps({"issuer": kit.provider.issuer, "jwks_uri": uri}).encode()
        answer = await say(kit(), kit.provider.sign())
        assert isinstance(answer, Unavailable)
        assert "names no keys over HTTPS" in answer.reason


async def test_more_keys_than_anybody_needs(kit: Kit) -> None:
    public = kit.provider.keys["ec"].as_dict(private=False)
    kit.provider.extra += [{**public, "kid": f"spare{number}"} for number in range(1000)]
    source = kit()
    assert isinstance(await say(source, kit.provider.sign()), Identity)
    kit.clock.advance(PAUSE)
    assert await reason(source, kit.provider.sign("ES256", "spare999", key=kit.provider.keys["ec"])) == NO_KEY


# -- opaque tokens ----------------------------------------------------------------------------------------


def asking(provider: IdentityProvider) -> dict[str, Any]:
    url = f"https://localhost:{provider.port}/introspect"
    return {"introspection": {"url": url, "client_id": "relay:1", "client_secret": "secret"}}


async def test_opaque_tokens_are_asked_about(kit: Kit) -> None:
    provider, source = kit.provider, kit(**asking(kit.provider))
    provider.active["opaque"] = provider.claims()
    provider.active["late"] = provider.claims(exp=1)
    provider.active["else"] = provider.claims(iss="https://else.example")
    provider.active["plain"] = provider.claims(iss=None)
    assert isinstance(await say(source, "opaque", "alice@example.com"), Identity)
    assert isinstance(await say(source, "plain"), Identity)
    assert await say(source, "unknown") is None
    assert await reason(source, "late") == "the token has expired"
    assert await reason(source, "else") == "the token is another issuer's"
    assert provider.asked == ["/introspect"] * 5
    assert provider.authorized[0] == "Basic cmVsYXklM0ExOnNlY3JldCUyMCUyNiUyMG1vcmU="
    assert isinstance(await say(source, provider.sign()), Identity)
    down = kit(introspection={"url": f"https://localhost:{free_port()}/", "client_id": "relay"})
    assert isinstance(await say(down, "opaque"), Unavailable)


async def test_everything_else_is_others_business(kit: Kit) -> None:
    source = kit()
    assert await source.verify("alice", "secret", ATTEMPT) is None
    assert await source.scram_keys("alice", "sha256", ATTEMPT) is None
    assert await source.look_up("alice", ATTEMPT) is None
