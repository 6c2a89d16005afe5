"""An issuer of access tokens as an identity source, for XOAUTH2 and OAUTHBEARER (RFC 7628).

A JWT is checked with the issuer's keys, found by OpenID discovery or where the configuration says; about another token
the issuer is asked when `introspection` is set (RFC 7662). One that does not answer is `Unavailable`, never a no. No
token, and no part of one, is in any reason. Imported when asked for: it needs the extra `oauth`.
"""

import base64
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlencode

import msgspec

from postroad import VERSION
from postroad.auth.jose import Key, peek, read_header, read_keys, verify
from postroad.auth.keyring import KeyRing
from postroad.auth.oauthsettings import IntrospectionSettings, MakeOAuth, OAuthSettings
from postroad.auth.source import TOKENS, Attempt, Denied, ScramKeys, Unavailable
from postroad.auth.tokenclaims import Client, judge
from postroad.model.identity import Identity
from postroad.net.clock import Clock
from postroad.net.http.fetcher import Fetcher
from postroad.net.http.fetching import Answer

OK: Final = 200
DOCUMENT_LIMIT: Final = 512 << 10  # octets of any answer of an issuer
DISCOVERY: Final = "/.well-known/openid-configuration"  # OpenID Connect Discovery 4
_SECOND: Final = 1_000_000
_OFFERS: Final = frozenset({TOKENS})

Verdict = Identity | Denied | Unavailable | None


class OAuth:
    """One issuer."""

    def __init__(self, name: str, settings: OAuthSettings, client_secret: str, clock: Clock) -> None:
        """Nothing is fetched before the first token."""
        self.name = name
        self._settings = settings
        self._clock = clock
        self._fetcher = Fetcher(
            timeout=settings.timeout, agent=f"Postroad/{VERSION}", ca=settings.ca, limit=DOCUMENT_LIMIT
        )
        self._ring = KeyRing(self._fetch_keys, clock, refresh=settings.refresh, keep_for=settings.keep_for)
        self._algorithms = frozenset(settings.algorithms)
        self._asking = None if settings.introspection is None else Introspection(settings.introspection, client_secret)

    @property
    def offers(self) -> frozenset[str]:
        """Tokens alone."""
        return _OFFERS

    async def verify(self, _login: str, _secret: str, _attempt: Attempt) -> Verdict:
        """Passwords are others' business."""
        return None

    async def scram_keys(
        self, _login: str, _hash_name: str, _attempt: Attempt
    ) -> ScramKeys | Denied | Unavailable | None:
        """As are the keys of SCRAM."""
        return None

    async def look_up(self, _login: str, _attempt: Attempt) -> Verdict:
        """As are logins that were proved otherwise."""
        return None

    async def token(self, login: str, token: str, attempt: Attempt) -> Verdict:
        """Whose access token it is; None when it is not of this issuer."""
        if len(token) > self._settings.token_size:
            return Denied("the token is larger than token_size")
        client = Client(login, attempt.mechanism)
        header = read_header(token)
        if header is None:
            return None if self._asking is None else await self._introspect(self._asking, token, client)
        if peek(token).get("iss") != self._settings.issuer:
            return None
        if header.alg not in self._algorithms:
            return Denied("the token is signed by an algorithm that is not taken")
        keys = await self._ring.keys_for(header)
        if isinstance(keys, str):
            return Unavailable(keys)
        if not keys:
            return Denied("the token names a key that the issuer does not have for it")
        claims = verify(token, header, keys)
        if claims is None or claims.get("iss") != self._settings.issuer:
            return Denied("the token is not signed by the issuer")
        return self._judge(claims, client)

    async def close(self) -> None:
        """Close the connections."""
        await self._ring.close()
        await self._fetcher.close()

    def _judge(self, claims: Mapping[str, object], client: Client) -> Identity | Denied:
        return judge(claims, self._settings, self.name, client, self._clock.now() / _SECOND)

    async def _introspect(self, asking: "Introspection", token: str, client: Client) -> Verdict:
        answer = await self._fetcher.post(asking.settings.url, asking.body(token), asking.headers)
        said = document_of(answer, asking.settings.url)
        if isinstance(said, str):
            return Unavailable(said)
        if said.get("active") is not True:
            return None
        if said.get("iss", self._settings.issuer) != self._settings.issuer:
            return Denied("the token is another issuer's")
        return self._judge(said, client)

    async def _fetch_keys(self) -> tuple[Key, ...] | str:
        url = self._settings.keys
        if not url:
            url, fault = await self._discover()
            if fault:
                return fault
        answer = await self._fetcher.get(url)
        if answer.status != OK:
            return f"{url}: {answer}"
        try:
            keys = read_keys(answer.body)
        except ValueError as error:
            return f"{url}: {error}"
        return keys or f"{url}: it has no key that can be used"

    async def _discover(self) -> tuple[str, str]:
        """Where the keys are; or "", and why that is not known."""
        issuer = self._settings.issuer
        url = issuer.rstrip("/") + DISCOVERY
        said = document_of(await self._fetcher.get(url), url)
        if isinstance(said, str):
            return "", said
        if said.get("issuer") != issuer:
            return "", f"discovery at {issuer} speaks of another issuer"
        keys = said.get("jwks_uri")
        if not isinstance(keys, str) or not keys.startswith("https://"):
            return "", f"discovery at {issuer} names no keys over HTTPS"
        return keys, ""


class Introspection:
    """What a question about a token is made of (RFC 7662 2.1)."""

    def __init__(self, settings: IntrospectionSettings, client_secret: str) -> None:
        """Ask as the client of `settings`."""
        self.settings = settings
        both = f"{quote(settings.client_id, safe='')}:{quote(client_secret, safe='')}"  # RFC 6749 2.3.1
        self.headers: Mapping[str, str] = {
            "Authorization": f"Basic {base64.b64encode(both.encode()).decode()}",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def body(self, token: str) -> bytes:
        """The question."""
        return urlencode({"token": token, "token_type_hint": "access_token"}).encode()


def document_of(answer: Answer, url: str) -> dict[str, object] | str:
    """The JSON object in `answer`, or what is wrong."""
    if answer.status != OK:
        return f"{url}: {answer}"
    try:
        return msgspec.json.decode(answer.body, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError):
        return f"{url}: the answer is no JSON object"


make_oauth: Final[MakeOAuth] = OAuth
