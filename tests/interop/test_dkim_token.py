"""Keys in a real PKCS #11 token: what it signs is right, and nothing of it needs the key itself."""

import os
import smtplib
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pkcs11 import Attribute, KeyType, Mechanism
from pkcs11.util.ec import encode_named_curve_parameters

from postroad.config.secrets import read_secret
from postroad.mailauth.dkim_keys import signing_key
from postroad.model.errors import ConfigError, SigningError
from postroad.model.option import Secret
from tests.support.command import run_command
from tests.support.mailauth import check, key, zone
from tests.support.relay import CAPTURE, Relay
from tests.support.softhsm import MODULE, PIN, TOKEN, make_token, put_key

RSA = key("rsa1024")
URI = f"pkcs11:token={TOKEN};object=dkim?module-path={MODULE}&pin-source=env:TOKEN_PIN"
SETTINGS = f"""
[process]
edges = 1
[dkim]
[[dkim.keys]]
domain = "example.com"
selector = "{RSA.selector}"
key = "{URI}"
authors = ["example.com", "relay.example.com"]
"""


@pytest.fixture(scope="module", autouse=True)
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("token")
    before = dict(os.environ)
    make_token(folder)
    put_key(folder, RSA.pem(), "dkim", 1)
    os.environ["TOKEN_PIN"] = PIN
    yield folder
    os.environ.clear()
    os.environ.update(before)


def opened(uri: str) -> str:
    """The record of the key, or what is wrong with it."""
    try:
        return signing_key("example.com", "s", Secret(text=uri), "here", read_secret).record()
    except ConfigError as error:
        return str(error)


def test_mail_is_signed_by_a_key_that_stays_in_its_token(tmp_path: Path) -> None:
    with Relay(tmp_path, SETTINGS + CAPTURE) as relay:
        shown = run_command("dkim", "show", "-c", relay.config)
        assert RSA.record().partition("p=")[2] in shown.out.replace('" "', "")
        for body in ("small\r\n", "large\r\n" * 100_000):
            with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as client:
                text = f"From: joe@example.com\r\nSubject: x\r\n\r\n{body}"
                client.sendmail("joe@example.com", ["ann@example.net"], text)
        mails = relay.wait_captured(b"Subject: x\r\n", 2)
        for mail in mails:
            content = mail.partition(b"X-Envelope-To: ")[2].partition(b"\r\n")[2]
            assert [one.result for one in check(content, zone(RSA), now=2**33)] == ["pass"]
        assert PIN not in relay.config.read_text() + relay.log_file.read_text()


def test_an_ed25519_key_signs_too_and_a_lost_session_is_opened_anew() -> None:
    library = pkcs11.lib(MODULE)
    library.reinitialize()  # whoever was logged in before in this process is so no more
    with library.get_token(token_label=TOKEN).open(rw=True, user_pin=PIN) as session:
        curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("1.3.101.112")}
        parameters = session.create_domain_parameters(KeyType.EC_EDWARDS, curve, local=True)
        parameters.generate_keypair(mechanism=Mechanism.EC_EDWARDS_KEY_PAIR_GEN, store=True, label="ed", id=b"\x02")
    uri = URI.replace("object=dkim", "id=%02;type=private")
    own = signing_key("example.com", "s", Secret(text=uri), "here", read_secret)
    assert (own.kind, own.waits) == ("ed25519", True)
    assert isinstance(own._public, Ed25519PublicKey)
    digest = sha256(b"x").digest()
    own._public.verify(own.sign(digest), digest)
    library.reinitialize()  # all sessions are gone
    own._public.verify(own.sign(digest), digest)


def test_a_token_that_was_away_is_found_again(token: Path) -> None:
    """Its library goes on saying that something is wrong with it, until it is begun anew."""
    own = signing_key("example.com", "s", Secret(text=URI), "here", read_secret)
    digest = sha256(b"x").digest()
    before = own.sign(digest)
    away = token / "away"
    (token / "tokens").rename(away)
    with suppress(pkcs11.PKCS11Error):  # sessions that are open do not notice
        pkcs11.lib(MODULE).reinitialize()
    for _ in range(2):
        with pytest.raises(SigningError, match="does not sign: "):
            own.sign(digest)
    assert "cannot be used: " in opened(URI)
    away.rename(token / "tokens")
    assert own.sign(digest) == before
    assert opened(URI) == own.record()


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (
            URI.replace("object=dkim", "object=none"),
            "cannot be used: the token has no private key of that name, or",
        ),
        (URI.replace("token=mail", "token=other"), "cannot be used: there is no such token (NoSuchToken)"),
        (URI.replace("env:TOKEN_PIN", "env:NO_PIN"), "the PIN: the environment has no NO_PIN"),
        (URI.replace("libsofthsm2", "none").replace("pin-source=env:TOKEN_PIN", "pin-value=4711"), "cannot be used: "),
        (URI.replace("?module-path=", "?"), "in a PKCS #11 URI; known there: module-path, pin-source, pin-value"),
        ("pkcs11:object=x?module-path=/a", "here: a PKCS #11 URI needs token=LABEL or serial=NUMBER"),
        ("pkcs11:token=x?module-path=/a", "here: a PKCS #11 URI needs object=LABEL or id=%01 of the key"),
        ("pkcs11:token=x;object=y", "here: a PKCS #11 URI needs module-path="),
        ("pkcs11:token=x;object=y;type=cert?module-path=/a", "here: type=cert: what signs is a private key"),
        ("pkcs11:token=x;token=y", "here: token is twice in a PKCS #11 URI"),
        ("pkcs11:token=%ff;object=y?module-path=/a", "here: token in a PKCS #11 URI is not UTF-8"),
        ("pkcs11:token=x;object=y?module-path=/a&pin-source=here", "here: pin-source in a PKCS #11 URI is written"),
        ("pkcs11:token=x;object=y?module-path=/a&pin-source=/x&pin-value=1", "here: pin-source and pin-value: one of"),
    ],
)
def test_what_is_wrong_is_told_without_the_pin(uri: str, told: str) -> None:
    found = opened(uri)
    assert told in found
    assert PIN not in found
    assert "4711" not in found
