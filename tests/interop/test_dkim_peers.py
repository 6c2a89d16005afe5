"""DKIM and ARC beside two other implementations, dkimpy and OpenDKIM.

What one signs the other finds right, and what was changed they judge alike. Where they differ is listed in
docs/internals/mailauth.md, and here by its reason.
"""

import re
import subprocess
from base64 import b64encode
from collections.abc import Iterable, Sequence
from pathlib import Path
from random import Random

import dkim
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from postroad.mailauth.dkim_private import SigningKey
from postroad.mailauth.dkim_terms import SigningTerms
from tests.support.generated import messages
from tests.support.mailauth import chain, check, key, seal, sign, words, zone

RSA, ED = key("rsa1024"), key("ed25519")
ZONE = zone(RSA, ED)
AT_ONCE = 500  # files of one call of OpenDKIM
LATER = 2**33  # after whatever clock a peer goes by
TERMS = tuple(
    SigningTerms(relaxed_header=header, relaxed_body=body) for header in (True, False) for body in (True, False)
)


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("CRITICAL", logger="dkimpy")


def published(name: bytes, timeout: int = 5) -> str | None:
    return ZONE.get(name.decode().removesuffix("."))


def dkimpy_says(message: bytes, place: int = 0) -> bool:
    try:
        return bool(dkim.DKIM(message).verify(idx=place, dnsfunc=published))
    except (dkim.DKIMException, ValueError):
        return False


def ed25519_seed(own: SigningKey) -> bytes:
    private = load_pem_private_key(own.pem(), None)
    return b64encode(private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption()))


def dkimpy_signs(message: bytes, own: SigningKey, terms: SigningTerms) -> bytes:
    forms = [b"relaxed" if relaxed else b"simple" for relaxed in (terms.relaxed_header, terms.relaxed_body)]
    field = dkim.sign(
        message,
        own.selector.encode(),
        own.domain.encode(),
        own.pem() if own is RSA else ed25519_seed(own),
        canonicalize=tuple(forms),
        signature_algorithm=own.algorithm.encode(),
    )
    return bytes(field) + message


def test_dkimpy_finds_right_what_we_sign() -> None:
    for number, message in enumerate(messages(1200, 31, spaced=False)):
        keys = [RSA, ED] if number % 4 == 0 else [ED]
        signed = sign(message, keys, TERMS[number % 4])
        for place in range(len(keys)):
            assert dkimpy_says(signed, place), (message, TERMS[number % 4])


def test_we_find_right_what_dkimpy_signs() -> None:
    for number, message in enumerate(messages(1200, 32, spaced=False)):
        own = RSA if number % 8 == 0 else ED
        signed = dkimpy_signs(message, own, TERMS[number % 4])
        (result,) = check(signed, ZONE, now=LATER)
        assert result.result == "pass", (signed, result.reason)


def test_what_was_changed_is_judged_alike() -> None:
    dice = Random(33)
    differences = []
    counts = {True: 0, False: 0}
    for number, message in enumerate(messages(1500, 34, odd=False)):
        signed = sign(message, [ED], TERMS[number % 4])
        broken = changed(signed, dice)
        ours = words(broken, ZONE)[0] == "pass"
        if ours != dkimpy_says(broken) and not explained(broken):
            differences.append((signed, broken, check(broken, ZONE)[0].reason))
        counts[ours] += 1
    assert differences == []
    assert min(counts.values()) > 100  # both kinds were there


def changed(message: bytes, dice: Random) -> bytes:
    """One thing of `message` is otherwise: an octet more, less, or another, mostly white space."""
    at = dice.randrange(len(message))
    if dice.random() < 0.5:
        places = [place for place, octet in enumerate(message) if octet in b" \t"]
        at = dice.choice(places) if places else at
    octet = dice.choice((b" ", b"\t", b"  ", b"x", b";", b"=", b"\r\n ", b"\r\n", b""))
    return message[:at] + octet + message[at + dice.choice((0, 1)) :]


def explained(message: bytes) -> bool:
    """True where docs/internals/mailauth.md says why the peers differ: bare newlines, and lines that are no field."""
    if message.count(b"\n") != message.count(b"\r\n"):
        return True
    lines = message.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return not all(re.match(rb"[ \t]|[\x21-\x39\x3b-\x7e]+:", line) for line in lines)


def test_seals_are_judged_alike() -> None:
    for number, message in enumerate(messages(1000, 36, odd=False)):
        ours = message
        for _ in range(1 + number % 3):
            ours, fault = seal(ours, RSA, ZONE)
            assert fault == ""
        assert dkim.arc_verify(ours, dnsfunc=published)[0] == b"pass"
        both = b"".join(arc_sets(ours, b"pass")) + ours
        assert chain(both, ZONE).result == "pass", both
        theirs = b"".join(arc_sets(message, b"")) + message
        assert chain(theirs, ZONE).result == "pass", theirs
        broken = re.sub(rb"(\r\n)(From|Date|Subject)", rb"\1X-\2", theirs, count=1)
        assert (chain(broken, ZONE).result == "pass") == (dkim.arc_verify(broken, dnsfunc=published)[0] == b"pass")


def arc_sets(message: bytes, found: bytes) -> list[bytes]:
    """What dkimpy adds to a message of which an Authentication-Results field of ours says what was found."""
    told = b"Authentication-Results: relay.example.com; spf=pass smtp.mailfrom=example.net"
    told += b"; arc=" + found if found else b""
    fields = dkim.arc_sign(
        told + b"\r\n" + message,
        RSA.selector.encode(),
        RSA.domain.encode(),
        RSA.pem(),
        b"relay.example.com",
        timestamp=1_700_000_000,
    )
    return [*fields, told + b"\r\n"]


def is_known(signed: bytes, broken: bytes) -> bool:
    """Only white space behind a colon was changed, which a milter is not told of; or there is a bare CR now."""
    return broken.count(b"\r") != broken.count(b"\r\n") or (
        re.sub(rb":\s+", b":", signed) == re.sub(rb":\s+", b":", broken)
    )


def opendkim(folder: Path, settings: Iterable[str], mails: Sequence[bytes]) -> list[str]:
    """What OpenDKIM says of each of `mails`, which it is given as files; it ends at one that it cannot read at all."""
    configuration = folder / "opendkim.conf"
    configuration.write_text("\n".join([*settings, "Socket inet:0@127.0.0.1", ""]))
    for number, mail in enumerate(mails):
        (folder / f"{number}.eml").write_bytes(mail)
    verdicts = [""] * len(mails)
    left = list(range(len(mails)))
    while left:
        files = ",".join(str(folder / f"{number}.eml") for number in left[:AT_ONCE])
        command = ["/usr/sbin/opendkim", "-x", str(configuration), "-t", files]
        done = subprocess.run(command, capture_output=True, check=False, timeout=100)
        assert done.returncode in (0, 70), done.stderr[-2000:]
        said = re.split(r"(?m)^opendkim: \S*?(\d+)\.eml: ?", done.stdout.decode("latin-1"))
        for name, text in zip(said[1::2], said[2::2], strict=True):
            verdicts[int(name)] += text
        heard = int(said[-2]) if len(said) > 2 else left[0] - 1
        next_one = left[:AT_ONCE][-1] + 1 if done.returncode == 0 else heard + 2
        left = [number for number in left if number >= next_one]
    return verdicts


def test_opendkim_finds_right_what_we_sign_and_wrong_what_was_changed(tmp_path: Path) -> None:
    dice = Random(37)
    mails = []
    for number, message in enumerate(messages(2000, 38, odd=False)):
        signed = sign(message, [RSA if number % 2 else ED], TERMS[number % 4])
        broken = changed(signed, dice)
        if number % 3 == 0 and not explained(broken) and not is_known(signed, broken):
            mails.append(broken)
        else:
            mails.append(signed)
    names = "\n".join(f"{name} {record}" for name, record in ZONE.items())
    (tmp_path / "keys").write_text(names + "\n")
    verdicts = opendkim(tmp_path, ["Mode v", "On-Default accept", f"TestPublicKeys {tmp_path / 'keys'}"], mails)
    ours = [words(mail, ZONE)[0] == "pass" for mail in mails]
    theirs = ["succeeded" in verdict for verdict in verdicts]
    differences = [
        (mail, verdict) for mail, mine, his, verdict in zip(mails, ours, theirs, verdicts, strict=True) if mine != his
    ]
    assert differences == []
    assert 1400 <= sum(ours) < 2000


@pytest.mark.parametrize("form", ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"])
def test_we_find_right_what_opendkim_signs(tmp_path: Path, form: str) -> None:
    mails = list(messages(300, 39, odd=False))
    (tmp_path / "key").write_bytes(RSA.pem())
    settings = ["Mode s", f"Domain {RSA.domain}", f"Selector {RSA.selector}", f"KeyFile {tmp_path / 'key'}"]
    settings += [
        "RequireSafeKeys no",
        "SignatureAlgorithm rsa-sha256",
        f"Canonicalization {form}",
        "OversignHeaders From",
    ]
    (tmp_path / "hosts").write_text("0.0.0.0/0\n")
    settings.append(f"InternalHosts {tmp_path / 'hosts'}")
    for mail, verdict in zip(mails, opendkim(tmp_path, settings, mails), strict=True):
        field = verdict.strip("\n").replace("\r\n", "\n").replace("\n", "\r\n").encode("latin-1") + b"\r\n"
        (result,) = check(field + mail, ZONE, now=LATER)
        assert result.result == "pass", (field, mail, result.reason)
