"""The examples of the RFCs themselves: RFC 6376 3.4.5, RFC 6376 Appendix A, RFC 8463 Appendix A.

That of RFC 6376 is as its errata 3192 (one space in the body) and 4926 (six spaces before folded lines) have it.
"""

import pytest

from postroad.mailauth.body_hash import BodyHashes
from postroad.mailauth.dkim_private import SigningKey, read_signing_key
from postroad.mailauth.dkim_terms import SigningTerms
from postroad.mailauth.fields import Fields
from tests.support.mailauth import check, sign

BRISBANE = (
    "v=DKIM1; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYt"
    "IxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhi"
    "tdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)
SUBMITTED = b"""\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
FOOTBALL = b"""\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
""".replace(b"\n", b"\r\n")
FOOTBALL_TWICE = (
    b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
""".replace(b"\n", b"\r\n")
    + FOOTBALL
)
FOOTBALL_ZONE = {
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": (
        "v=DKIM1; k=rsa; p=MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2j"
        "LQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3"
        "Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
    ),
}
# RFC 8463 A.2: the seed of the key, in the form that files have (RFC 8410 7)
FOOTBALL_KEY = b"""\
-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""


def test_the_example_of_dkim_passes() -> None:
    (result,) = check(SUBMITTED, {"brisbane._domainkey.example.com": BRISBANE})
    assert (result.result, result.bits, result.identity) == ("pass", 1024, "joe@football.example.com")
    assert result.start == "AuUoFEfD"
    (changed,) = check(SUBMITTED.replace(b"game. Are", b"game.  Are"), {"brisbane._domainkey.example.com": BRISBANE})
    assert (changed.result, changed.reason) == ("fail", "the body was changed")


def test_both_signatures_of_the_example_of_ed25519_pass() -> None:
    results = check(FOOTBALL_TWICE, FOOTBALL_ZONE)
    assert [(one.result, one.algorithm, one.bits) for one in results] == [
        ("pass", "ed25519-sha256", 256),
        ("pass", "rsa-sha256", 1024),
    ]


def test_the_key_of_ed25519_signs_as_it_says() -> None:
    key = read_signing_key("football.example.com", "brisbane", FOOTBALL_KEY)
    assert key.record() == FOOTBALL_ZONE[key.name]
    terms = SigningTerms(
        signed=("from", "to", "subject", "date", "message-id"),
        oversigned=("from", "subject", "date"),
        identity="@football.example.com",
    )
    first = sign(FOOTBALL, [key], terms, now=1528637909)
    assert first == sign(FOOTBALL, [key], terms, now=1528637909)  # Ed25519 leaves nothing to chance
    assert [one.result for one in check(first, FOOTBALL_ZONE)] == ["pass"]


HEADER = b"A: X\r\nB : Y\t\r\n\tZ  \r\n"
BODY = b" C \r\nD \t E\r\n\r\n\r\n"


def test_canonical_fields_are_those_of_the_rfc() -> None:
    fields = Fields(HEADER)
    assert [fields.canonical(at, is_relaxed=True) for at in (0, 1)] == [b"a:X\r\n", b"b:Y Z\r\n"]
    assert [fields.canonical(at, is_relaxed=False) for at in (0, 1)] == [b"A: X\r\n", b"B : Y\t\r\n\tZ  \r\n"]


@pytest.mark.parametrize(("is_relaxed", "canonical"), [(True, b" C\r\nD E\r\n"), (False, b" C \r\nD \t E\r\n")])
def test_canonical_bodies_are_those_of_the_rfc(is_relaxed: bool, canonical: bytes) -> None:
    given, expected = BodyHashes(), BodyHashes()
    for body, octets in ((given, BODY), (expected, canonical)):
        body.want(is_relaxed=False if body is expected else is_relaxed)
        body.feed(octets)
        body.finish()
    assert given.digest(is_relaxed=is_relaxed) == expected.digest(is_relaxed=False)


def test_the_name_of_a_key_does_not_show_it() -> None:
    key = read_signing_key("football.example.com", "brisbane", FOOTBALL_KEY)
    assert isinstance(key, SigningKey)
    assert repr(key) == "SigningKey('brisbane._domainkey.football.example.com', 'ed25519-sha256')"
