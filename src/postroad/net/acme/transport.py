"""The way to a CA: HTTPS alone, every answer bounded in time and size, a refused nonce replaced by another.

Imported with `net.acmeclient` alone. RFC 8555 6.1 (HTTPS), RFC 8555 6.5 (nonces), RFC 8555 6.6 (Retry-After).
"""

import ssl
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

import requests
from acme import client, messages
from josepy.jwa import ES256
from josepy.jwk import JWK
from requests.adapters import HTTPAdapter

from postroad import VERSION
from postroad.model.errors import AcmeError
from postroad.net.acme.ordering import Pace

SILENCE: Final = 10.0  # seconds that a CA may say nothing at all
SIZE_LIMIT: Final = 1 << 20  # octets of one answer
NONCES: Final = 6  # tried for one request
_PART: Final = 16 << 10


class Door(HTTPAdapter):
    """Lets requests out and answers in; `trust` is a file or folder of certificates."""

    def __init__(self, pace: Pace, trust: str | bool) -> None:  # noqa: FBT001  as requests has it: True for its own
        """Within `pace`."""
        super().__init__()
        self._pace = pace
        self._trust = trust
        self.wish = 0.0  # of the last answer: in how many seconds to come again

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002, FBT001, FBT002  the signature is that of requests
        timeout: float | tuple[float | None, float | None] | None = None,  # noqa: ARG002  we have our own
        verify: bool | str = True,  # noqa: ARG002, FBT001, FBT002  likewise
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """See requests; AcmeError for what is not to be."""
        if not (request.url or "").startswith("https://"):
            raise AcmeError("the CA names an address that is not HTTPS")
        seconds = min(SILENCE, self._pace.check())
        proxy = None if proxies is None else dict(proxies)
        answer = super().send(
            request, stream=True, timeout=(seconds, seconds), verify=self._trust, cert=cert, proxies=proxy
        )
        octets = bytearray()
        for part in answer.iter_content(_PART):
            octets += part
            self._pace.check()
            if len(octets) > SIZE_LIMIT:
                answer.close()
                raise AcmeError(f"the CA's answer is larger than {SIZE_LIMIT >> 20} MiB")
        answer._content = bytes(octets)  # noqa: SLF001  where requests keeps what was read
        self.wish = self._wish(answer.headers.get("Retry-After", ""))
        return answer

    def _wish(self, text: str) -> float:
        """The seconds that Retry-After asks for (RFC 9110 10.2.3)."""
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            when = parsedate_to_datetime(text)
        except ValueError:
            return 0.0
        moment = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - self._pace.now() / 1_000_000)


class Network(client.ClientNetwork):
    """That of the library, through a `Door`."""

    def __init__(self, key: JWK, door: Door) -> None:
        """Sign with `key`."""
        super().__init__(key, alg=ES256, user_agent=f"postroad/{VERSION}")
        self.session.trust_env = False
        self.session.max_redirects = 5
        for scheme in ("https://", "http://"):
            self.session.mount(scheme, door)

    def post(self, *args: object, **kwargs: object) -> requests.Response:
        """As often as nonces are refused, within reason: any number may be known to another server of the CA alone."""
        for _ in range(NONCES - 1):
            try:
                return self._post_once(*args, **kwargs)  # type: ignore[arg-type]  # what it takes is the base's affair
            except messages.Error as error:
                if error.code != "badNonce":
                    raise
        return self._post_once(*args, **kwargs)  # type: ignore[arg-type]  # what it takes is the base's affair


def trust_of(ca: str) -> str | bool:
    """What answers for a CA's own certificate: the file `ca`, or what the system has."""
    if ca:
        return ca
    paths = ssl.get_default_verify_paths()
    return paths.cafile or paths.capath or True
