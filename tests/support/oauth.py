"""What tests of access tokens share: sources over a fake provider with a clock driven by hand, and how to ask them."""

import time
from typing import Any

from postroad.auth.oauth import OAuth
from postroad.auth.oauthsettings import OAuthSettings
from postroad.auth.source import Attempt, Denied, Unavailable
from postroad.model.identity import Identity
from tests.support.clock import ManualClock
from tests.support.identityprovider import AUDIENCE, IdentityProvider

ATTEMPT = Attempt("192.0.2.1", "submission", "OAUTHBEARER")
SIGNED = "the token is not signed by the issuer"
NO_KEY = "the token names a key that the issuer does not have for it"


class Kit:
    """Makes sources, and closes them."""

    def __init__(self, provider: IdentityProvider) -> None:
        self.provider = provider
        self.clock = ManualClock(int(time.time() * 1_000_000))
        self.made: list[OAuth] = []

    def __call__(self, **options: Any) -> OAuth:
        given = {"issuer": self.provider.issuer, "audiences": (AUDIENCE,), "ca": str(self.provider.ca), **options}
        settings = OAuthSettings.model_validate({"timeout": "30s", **given})
        self.made.append(OAuth("company", settings, "secret & more", self.clock))
        return self.made[-1]


async def say(source: OAuth, token: str, login: str = "") -> Identity | Denied | Unavailable | None:
    return await source.token(login, token, ATTEMPT)


async def reason(source: OAuth, token: str, login: str = "") -> str:
    answer = await say(source, token, login)
    assert isinstance(answer, Denied)
    assert token not in repr(answer)
    return answer.reason
