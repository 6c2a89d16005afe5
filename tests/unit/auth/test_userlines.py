"""Lines of the users file: what is taken, what is not, and that no flaw repeats a secret."""

from datetime import date

import pytest

from postroad.auth.userlines import (
    Attributes,
    LineError,
    ScramLine,
    end_of,
    key_of,
    last_day,
    parse_line,
    parse_lines,
    show_line,
    show_scram,
)
from tests.support.logins import argon2_line, scram_line

HASH = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo"


def test_the_plain_form_of_old() -> None:
    line = parse_line(f"alice:{HASH}", 7)
    assert (line.name, line.credential, line.attributes, line.number) == ("alice", HASH, Attributes(), 7)
    assert HASH not in repr(line)


def test_scram_forms_are_written_and_read() -> None:
    for hash_name in ("sha256", "sha1"):
        text = scram_line("bob", "secret", hash_name, app="phone", scope=("submission",), addresses=("@b.example",))
        line = parse_line(text)
        form = line.credential
        assert isinstance(form, ScramLine)
        assert (form.hash_name, form.iterations, form.salt) == (hash_name, 4096, b"salt-of-the-user")
        assert show_line("bob", show_scram(form), line.attributes) == text


def test_the_line_of_a_user() -> None:
    line = parse_line("alice:-:addresses=a@example.com,@b.example groups=staff,ops locked strong")
    assert line.credential is None
    about = Attributes(addresses=("a@example.com", "@b.example"), groups=("staff", "ops"), locked=True, strong=True)
    assert line.attributes == about
    assert show_line("alice", "-", about) == "alice:-:addresses=a@example.com,@b.example groups=staff,ops locked strong"


def test_the_last_day() -> None:
    line = parse_line(f"alice:{HASH}:expires=2027-01-31")
    assert line.attributes.expires == end_of(date(2027, 1, 31)) == 1_801_440_000_000_000
    assert last_day(line.attributes.expires) == date(2027, 1, 31)
    assert show_line("alice", HASH, line.attributes).endswith(":expires=2027-01-31")


@pytest.mark.parametrize(
    "line",
    [
        "canary",
        ":canary",
        "a b:-",
        "a\x01b:-",
        "alice:canary",
        "alice:$argon2i$v=19$m=64,t=1,p=1$canary$canary",
        "alice:$argon2id$canary",
        "alice:$scram-sha-256$canary",
        "alice:$scram-sha-256$i=4096$canary",
        "alice:$scram-sha-256$i=4095$c2FsdA==$" + "A" * 43 + "=$" + "A" * 43 + "=",
        "alice:$scram-sha-256$i=4096$c2FsdA==$c2FsdA==$c2FsdA==",
        "alice:$scram-sha-256$i=4096$$" + "A" * 43 + "=$" + "A" * 43 + "=",
        "alice:-:canary",
        "alice:-:canary=canary",
        "alice:-:locked locked",
        "alice:-:locked=canary",
        "alice:-:app=canary",
        "alice:-:expires=2027-01-01",
        "alice:-:addresses=canary",
        "alice:-:addresses=@",
        f"alice:{HASH}:groups=canary",
        f"alice:{HASH}:locked",
        f"alice:{HASH}:expires=canary",
        f"alice:{HASH}:scope=canary",
        f"alice:{HASH}:app=phone",
    ],
)
def test_what_cannot_be_used(line: str) -> None:
    with pytest.raises(LineError) as error:
        parse_line(line)
    assert "canary" not in str(error.value).replace("app=LABEL", "")


def test_a_broken_line_costs_that_line_alone() -> None:
    flaws: list = []  # type: ignore[type-arg]  # filled below
    text = f"# users\n\nalice:{HASH}\nbroken\r\n  bob:-:groups=x  \ncarol:zzz\n"
    assert [line.name for line in parse_lines(text, flaws)] == ["alice", "bob"]
    assert [flaw.line for flaw in flaws] == [4, 6]


def test_names() -> None:
    assert key_of("Alice") == key_of("aLICE") == "alice"
    assert key_of("I\u00adX") == "ix"
    assert parse_line(argon2_line("alice@example.com", "x")).name == "alice@example.com"
    for name in ("", "a:b", "a b", "#a", "a" * 513):
        with pytest.raises(LineError):
            show_line(name, HASH, Attributes())
    for word in ("", "a b", "a,b", "a:b", "a=b"):
        with pytest.raises(LineError):
            show_line("a", HASH, Attributes(scope=(word,)))
