"""Access tokens, with real signatures and keys served over HTTPS: who gets in and who does not.

What tokens say of time is real.
"""

import hmac
import json
import time
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from postroad.auth.keyring import PAUSE
from postroad.auth.source import TOKENS, Denied
from postroad.model.address import parse_mailbox
from postroad.model.identity import Identity
from tests.support.identityprovider import AUDIENCE, DISCOVERY, encode
from tests.support.oauth import NO_KEY, SIGNED, Kit, reason, say

# -- sound tokens --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("alg", "kid"),
    [("RS256", "rsa"), ("RS512", "rsa"), ("PS256", "rsa"), ("ES256", "ec"), ("EdDSA", "ed"), ("Ed25519", "ed")],
)
async def test_sound_tokens_of_every_kind(kit: Kit, alg: str, kid: str) -> None:
    source = kit()
    assert source.offers == {TOKENS}
    found = await say(source, kit.provider.sign(alg, kid, groups=["staff", 7, "relay"]), "Alice@Example.com")
    assert found == Identity(
        login="alice@example.com",
        source="company",
        mechanism="OAUTHBEARER",
        addresses=(parse_mailbox("alice@example.com"),),
        groups=frozenset({"staff", "relay"}),
    )
    assert await say(source, kit.provider.sign(alg, kid)) is not None
    assert kit.provider.asked == [DISCOVERY, "/keys"]


async def test_keys_can_be_where_the_configuration_says(kit: Kit) -> None:
    source = kit(keys=f"https://localhost:{kit.provider.port}/keys")
    assert isinstance(await say(source, kit.provider.sign()), Identity)
    assert kit.provider.asked == ["/keys"]


async def test_a_token_without_a_key_id_is_checked_with_all_that_fit(kit: Kit) -> None:
    kit.provider.keys["other"] = RSAKey.generate_key(2048)
    token = kit.provider.sign_with({"alg": "RS256"}, kit.provider.keys["other"], kit.provider.claims())
    assert isinstance(await say(kit(), token), Identity)


@pytest.mark.parametrize(
    ("claims", "options", "login"),
    [
        ({}, {"login_claims": ("preferred_username", "email")}, "alice@example.com"),
        ({"preferred_username": "al"}, {"login_claims": ("preferred_username", "email")}, "al"),
        ({"upn": "al@corp"}, {"login_claims": ("upn",)}, "al@corp"),
        ({"email_verified": False}, {}, "1234"),
        ({"email_verified": "false"}, {}, "1234"),
        ({"email_verified": None}, {}, "alice@example.com"),
        ({"email": "line\nbreak"}, {}, "1234"),
        ({"aud": ["x", AUDIENCE]}, {}, "alice@example.com"),
        ({"scope": "openid smtp.send"}, {"scopes": ("smtp.send",)}, "alice@example.com"),
        ({"scp": ["smtp.send"]}, {"scopes": ("smtp.send",)}, "alice@example.com"),
        ({"hd": "a.example", "mfa": True}, {"claims": {"hd": ("a.example",), "mfa": ("true",)}}, "alice@example.com"),
    ],
)  # fmt: skip
async def test_who_a_token_speaks_of(kit: Kit, claims: dict[str, Any], options: dict[str, Any], login: str) -> None:
    found = await say(kit(**options), kit.provider.sign(**claims))
    assert isinstance(found, Identity)
    assert found.login == login


async def test_the_issuers_clock_may_be_off_a_little(kit: Kit) -> None:
    now = kit.clock.now() // 1_000_000
    source = kit(leeway="1m")
    assert isinstance(await say(source, kit.provider.sign(exp=now - 59, nbf=now + 59, iat=now + 60)), Identity)
    assert await reason(source, kit.provider.sign(exp=now - 60)) == "the token has expired"
    assert await reason(source, kit.provider.sign(nbf=now + 61)) == "the token is not in force yet (nbf)"


async def test_addresses_come_from_claims_that_are_addresses(kit: Kit) -> None:
    source = kit(address_claims=("email", "aliases"))
    found = await say(source, kit.provider.sign(aliases=["al@example.com", "no address", 5, "alice@example.com"]))
    assert isinstance(found, Identity)
    assert [str(address) for address in found.addresses] == ["alice@example.com", "al@example.com"]
    unverified = await say(source, kit.provider.sign(email_verified=False))
    assert isinstance(unverified, Identity)
    assert unverified.addresses == ()


# -- tokens that are refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"aud": "another"}, "the token is for another audience"),
        ({"aud": None}, "the token says no audience"),
        ({"aud": [5]}, "the token says no audience"),
        ({"exp": int(time.time()) - 3600}, "the token has expired"),
        ({"exp": None}, "the token says no time at which it expires"),
        ({"exp": "never"}, "the token says no time at which it expires"),
        ({"exp": True}, "the token says no time at which it expires"),
        ({"exp": 1e300}, "the token says no time at which it expires"),
        ({"nbf": int(time.time()) + 864000}, "the token is not in force yet (nbf)"),
        ({"iat": int(time.time()) + 864000}, "the token is not in force yet (iat)"),
        ({"nbf": "soon"}, "nbf in the token is no time"),
        ({"scope": "openid"}, "the token lacks the scope smtp.send"),
        ({"scope": "smtp.send", "hd": "evil.example"}, "the token has not the right hd"),
        ({"scope": "smtp.send", "hd": "example.com", "email": None, "sub": None},
         "the token names nobody: it has none of email, upn, sub"),
    ],
)  # fmt: skip
async def test_tokens_that_say_the_wrong_thing(kit: Kit, claims: dict[str, Any], why: str) -> None:
    source = kit(scopes=("smtp.send",), claims={"hd": ("example.com",)})
    assert await reason(source, kit.provider.sign(**claims)) == why


async def test_a_token_of_somebody_else(kit: Kit) -> None:
    answer = await say(kit(), kit.provider.sign(), "bob@example.com")
    assert answer == Denied("the token is somebody else's than the client says", login="alice@example.com")


async def test_another_issuers_token_is_left_to_others(kit: Kit) -> None:
    assert await say(kit(), kit.provider.sign(iss="https://else.example")) is None
    assert await say(kit(), kit.provider.sign(iss=f"{kit.provider.issuer}/")) is None
    assert await say(kit(), "an-opaque-token") is None
    assert kit.provider.asked == []


async def test_a_signature_of_somebody_else(kit: Kit) -> None:
    provider = kit.provider
    assert await reason(kit(), provider.sign(key=RSAKey.generate_key(2048))) == SIGNED
    head, body, signature = provider.sign().split(".")
    forged = encode(json.dumps(provider.claims(email="root@example.com")).encode())
    assert await reason(kit(), f"{head}.{forged}.{signature}") == SIGNED
    assert await reason(kit(), f"{head}.{body}.{signature[:-4]}AAAA") == SIGNED
    assert await reason(kit(), f"{head}.{body}.{'A' * 9000}") == SIGNED


async def test_no_algorithm_that_a_public_key_could_be_turned_against(kit: Kit) -> None:
    provider = kit.provider
    refused = "the token is signed by an algorithm that is not taken"
    pem = RSAKey.import_key(provider.keys["rsa"].as_dict(private=False)).as_pem(private=False)
    for secret in (pem, json.dumps(provider.jwks()).encode()):
        head = encode(json.dumps({"alg": "HS256", "kid": "rsa"}).encode())
        signed = f"{head}.{encode(json.dumps(provider.claims()).encode())}"
        token = f"{signed}.{encode(hmac.digest(secret, signed.encode(), 'sha256'))}"
        assert await reason(kit(), token) == refused
    for name in ("none", "None", "nOnE", "hs256", ""):
        header = {"alg": name, "kid": "rsa"}
        assert await say(kit(), provider.sign_with(header, None, provider.claims())) is None  # three parts, one empty
        unsigned = f"{provider.sign_with(header, None, provider.claims())}AA"
        assert await reason(kit(), unsigned) == refused
    only = kit(algorithms=("ES256",))
    assert await reason(only, provider.sign()) == refused
    assert isinstance(await say(only, provider.sign("ES256", "ec")), Identity)
    assert await reason(kit(), provider.sign("RS256", key=provider.keys["rsa"], kid="ec")) == NO_KEY


async def test_keys_that_a_token_brings_along_or_points_to_are_not_looked_at(kit: Kit) -> None:
    provider = kit.provider
    own = RSAKey.generate_key(2048)
    public = own.as_dict(private=False)
    for more in (
        {"jwk": public},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example"},
        {"nonce": "x"},
    ):
        header = {"alg": "RS256", "kid": "rsa", **more}
        assert await reason(kit(), provider.sign_with(header, own, provider.claims())) == SIGNED
    sound = provider.sign_with({"alg": "RS256", "kid": "rsa", "nonce": "x"}, provider.keys["rsa"], provider.claims())
    assert isinstance(await say(kit(), sound), Identity)
    for odd in ({"crit": ["exp"], "exp": 1}, {"b64": False, "crit": ["b64"]}):
        header = dict[str, Any](odd) | {"alg": "RS256", "kid": "rsa"}
        head = encode(json.dumps(header).encode())
        assert await reason(kit(), f"{head}.{encode(json.dumps(provider.claims()).encode())}.AAAA") == SIGNED
    for kid in ("../../etc/passwd", "' OR 1=1 --", "rsa\0", "RSA", "x" * 4000):
        token = provider.sign_with({"alg": "RS256", "kid": kid}, provider.keys["rsa"], provider.claims())
        assert await reason(kit(), token) == NO_KEY


async def test_keys_that_are_for_something_else_are_passed_over(kit: Kit) -> None:
    provider = kit.provider
    spare = RSAKey.generate_key(2048)
    public = spare.as_dict(private=False)
    provider.extra += [
        {"kty": "RSA", "kid": "weak", "n": encode(b"\xc1" * 128), "e": "AQAB"},
        {**public, "kid": "encrypts", "use": "enc"},
        {**public, "kid": "signs", "key_ops": ["sign"]},
        {**public, "kid": "pss", "alg": "PS256"},
        {**spare.as_dict(private=True), "kid": "leaked"},
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {"kty": "EC", "kid": "off", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "koblitz", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kid": 5},
    ]
    source = kit()
    for kid in ("weak", "encrypts", "signs", "pss", "leaked", "broken", "off"):
        assert await reason(source, provider.sign(kid=kid, key=spare)) == NO_KEY
        kit.clock.advance(PAUSE)
    assert isinstance(await say(source, provider.sign("PS256", "pss", key=spare)), Identity)
    other = ECKey.generate_key("P-384")
    assert await reason(source, provider.sign("ES384", "ec", key=other)) == NO_KEY


@pytest.mark.parametrize(
    "token",
    ["a.b.c", "..", "e30.e30.e30", ".", "eyJhbGciOjV9.e30.AA", f"{'A' * 9000}.e30.AA", "é.é.é",
     f"{encode(b'[' * 3000)}.e30.AA", f"{encode(json.dumps({'alg': 'RS256'}).encode())}.{encode(b'[' * 3000)}.AA"],
)  # fmt: skip
async def test_what_is_no_token_is_left_to_others(kit: Kit, token: str) -> None:
    assert await say(kit(), token) is None


async def test_a_token_that_is_too_large(kit: Kit) -> None:
    assert (
        await reason(kit(token_size=1024), kit.provider.sign(more="x" * 1024)) == "the token is larger than token_size"
    )
