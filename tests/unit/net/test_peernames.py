"""Names in certificates: exact, or by one wildcard for one whole first label; and as OpenSSL decides, case by case."""

import random
import ssl
from pathlib import Path

import pytest

from postroad.net.tls.peernames import carries, names_shown
from tests.support.authority import Authority


def certificate(*names: str) -> dict[str, object]:
    return {"subjectAltName": tuple(("IP Address" if name[0].isdigit() else "DNS", name) for name in names)}


@pytest.mark.parametrize(
    ("held", "wanted", "is_carried"),
    [
        ("mx.example.net", "mx.example.net", True),
        ("MX.Example.NET", "mx.example.net", True),
        ("*.example.net", "mx.example.net", True),
        ("*.example.net", "a.mx.example.net", False),
        ("*.example.net", "example.net", False),
        ("mx*.example.net", "mx1.example.net", False),
        ("a.*.net", "a.example.net", False),
        ("*", "example", False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("*.0.2.1", "192.0.2.1", False),
    ],
)
def test_names(held: str, wanted: str, is_carried: bool) -> None:
    assert carries(certificate("other.example.org", held), [wanted, "nobody.example"]) == is_carried
    if is_carried:
        assert carries(certificate(held), ["nobody.example", wanted])


def test_what_is_no_list_of_names_carries_none() -> None:
    for found in ({}, {"subjectAltName": "x"}, {"subjectAltName": (("DNS",), 3, ("URI", "mx.example.net"))}):
        assert not carries(found, ["mx.example.net"])
        assert names_shown(found) == "no name at all"
    assert names_shown(certificate(*"abcdefg")) == "a, b, c, d, e and 2 more"


def test_openssl_decides_the_same(tmp_path: Path) -> None:
    """Certificates with names made up of few labels, against names made up of the same: one verdict of both."""
    authority, dice = Authority(tmp_path), random.Random(6)
    labels = ["mx", "a", "example", "net"]
    verdicts = []
    for number in range(12):
        held = [".".join(dice.choices(labels, k=dice.randint(2, 3))) for _ in range(2)]
        held += ["*." + ".".join(dice.choices(labels, k=2))]
        issued = authority.issue(f"c{number}", held)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(issued.certificate, issued.key)
        client = ssl.create_default_context(cafile=str(authority.file))
        client.hostname_checks_common_name = False
        for _ in range(6):
            name = dice.choice([*held, ".".join(dice.choices(labels, k=dice.randint(2, 4)))]).replace("*", "mx")
            verdict, shown = talk(client, server, name)
            assert carries(shown, [name]) == verdict, (held, name)
            verdicts.append(verdict)
    assert 15 < sum(verdicts) < len(verdicts) - 15


def talk(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> tuple[bool, dict[str, object]]:
    """Whether OpenSSL takes the certificate for `name`, and the certificate."""
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname = False
    trusting.load_verify_locations(cadata="".join(map(ssl.DER_cert_to_PEM_cert, client.get_ca_certs(binary_form=True))))
    shown = shake_hands(trusting, server, name)
    assert shown is not None
    return shake_hands(client, server, name) is not None, shown


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> dict[str, object] | None:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    asks = client.wrap_bio(down, up, server_hostname=name)
    answers = server.wrap_bio(up, down, server_side=True)
    for side in (asks, answers, asks, answers):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLCertVerificationError:
            return None
        except ssl.SSLError:
            break
    return dict(asks.getpeercert() or {})
