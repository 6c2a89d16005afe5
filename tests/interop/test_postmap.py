"""Our tables beside Postfix's own programs: the same file, the same answers.

`postmap -q` for what a key has in files and in regular expressions; a whole Postfix for what recipients come to, with
sub-addresses, catch-alls, recursion and duplicates.
"""

import random
import smtplib
import subprocess
from pathlib import Path

import pytest

from postroad.aliases.patterns import parse_patterns
from postroad.aliases.text import key_of, parse_table, split_addresses
from postroad.model.address import parse_mailbox
from tests.support.postfix import Postfix, program, smtp_to
from tests.support.relay import Relay, route, wait_until
from tests.support.sink import Sink

USERS = ("ann", "Bob", "c.d", "e+f", "g_h", "x-y", '"i j"', "o'neil", "k=l", "m/n", "all", "info", "user9", "ümlaut")
DOMAINS = ("one.example", "Two.Example", "sub.one.example", "three.example", "xn--bcher-kva.example")


def postmap(folder: Path, table: str, keys: list[str]) -> dict[str, str]:
    """What Postfix's postmap answers for each of `keys`."""
    (folder / "main.cf").write_text("compatibility_level = 3.6\nmyhostname = postfix.example.com\n")
    command = [program("postmap"), "-c", str(folder), "-q", "-", table]
    done = subprocess.run(
        command, input="\n".join(keys) + "\n", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, 1), done.stderr
    return dict(line.split("\t", 1) for line in done.stdout.splitlines())


def some_address(dice: random.Random) -> str:
    return f"{dice.choice(USERS)}{dice.choice(('', '', '+x', '2'))}@{dice.choice(DOMAINS)}".replace(
        '"i j"+x', "ij+x"
    ).replace('"i j"2', "ij2")


def some_table(dice: random.Random) -> str:
    """A table with every freedom of the form: comments, blank lines, lines that go on, odd spacing and case."""
    out = []
    for _ in range(400):
        key = dice.choice((some_address(dice), some_address(dice), f"@{dice.choice(DOMAINS)}", dice.choice(DOMAINS)))
        values = [some_address(dice) for _ in range(dice.randint(1, 4))]
        gap = dice.choice((" ", "\t", "    "))
        comma = dice.choice((", ", ",", " ,", ",\n   ", "\n\t, ", ",\n# between\n  ", ",\n\n  "))
        out.append(key + gap + comma.join(values) + dice.choice(("", " ", "\t", " ,")))
        out += dice.choice(([], [], ["# comment"], [""], ["   # indented"], ["   "]))
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("seed", range(4))
def test_a_file_answers_as_postmap(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    text = some_table(dice)
    (tmp_path / "virtual").write_text(text)
    table = parse_table(text)
    assert table.flaws == []
    keys = sorted({f"{user}{more}@{domain}" for user in USERS for more in ("", "+x", "2") for domain in DOMAINS})
    keys = [key for key in keys if not key.startswith(('"i j"+', '"i j"2'))] + ["ij+x@one.example", "ij2@one.example"]
    keys += [f"@{domain}" for domain in DOMAINS]
    theirs = postmap(tmp_path, f"texthash:{tmp_path}/virtual", keys)
    ours = {}
    for key in keys:
        found = table.entries.get(key.lower() if key.startswith("@") else key_of(parse_mailbox(key)))
        if found is not None:
            ours[key] = split_addresses(found)
    assert ours == {key: tuple(dict.fromkeys(split_addresses(value))) for key, value in theirs.items()}
    assert len(ours) > 50
    named = postmap(tmp_path, f"texthash:{tmp_path}/virtual", [domain.lower() for domain in DOMAINS])
    assert table.domains == named.keys()


PATTERNS = r"""
# comments and blank lines

/^(.*)@old\.example$/      $1@new.example
/^list-([a-z]+)(-[0-9])?@/i   ${1}$(2)@lists.example,
   archive+$1@one.example
/^(a|b)+c@one\.example$/   first@two.example
/c@one\.example/           second@two.example
/^[^@]*\/[^@]*@/           slash$$@two.example
/^everyone@/               @all.example
"""


def test_patterns_answer_as_postmap(tmp_path: Path) -> None:
    (tmp_path / "patterns").write_text(PATTERNS)
    table = parse_patterns(PATTERNS)
    assert table.flaws == []
    users = ("Joe", "joe.doe", "list-dev", "list-dev-1", "LIST-dev", "abac", "c", "x", "a/b", "everyone", "a+b")
    keys = [f"{user}@{domain}" for user in users for domain in ("old.example", "one.example", "OLD.example")]
    theirs = postmap(tmp_path, f"regexp:{tmp_path}/patterns", keys)
    ours = {key: found for key in keys if (found := table.find(key)) is not None}
    assert ours == {key: split_addresses(value) for key, value in theirs.items()}
    assert len(ours) > 15


WHOLE = """\
all@one.example         dev@one.example, ops@one.example, Joe@three.example
dev@one.example         a@three.example, b@three.example
ops@one.example         b@three.example, ops@one.example, away@two.example
own@one.example         own@one.example
vip+x@one.example       exact@three.example
vip@one.example         vip@three.example
two@one.example         x1@three.example, @three.example
back@one.example        forth@one.example, back@one.example
forth@one.example       back@one.example
@two.example            @three.example
named@two.example       named@one.example
@catch.example          catcher@three.example
kept@catch.example      kept@catch.example
"""
GIVEN = (
    "all@one.example",
    "ALL@one.example",
    "dev+detail@one.example",
    "vip+x@one.example",
    "vip+y@one.example",
    "own@one.example",
    "own+z@one.example",
    "back@one.example",
    "forth@one.example",
    "anyone@two.example",
    "any+one@two.example",
    "named@two.example",
    "named+q@two.example",
    "who+ever@catch.example",
    "kept@catch.example",
    "nobody@one.example",
    "outside@four.example",
)


def reached(sink: Sink) -> dict[int, list[str]]:
    """The recipients of each message, by its number."""
    found: dict[int, list[str]] = {}
    for mail in sink.mails:
        number = int(mail.content.partition(b"Subject: ")[2].split(b"\r\n", 1)[0])
        found.setdefault(number, []).extend(word.partition(">")[0].lower() for word in mail.recipients)
    return {number: sorted(words) for number, words in found.items()}


def send(port: int) -> None:
    """Each of GIVEN alone, then all in one transaction."""
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=60) as client:
        for number, given in enumerate([*([one] for one in GIVEN), list(GIVEN)]):
            content = f"Subject: {number}\r\n\r\nhello\r\n".encode()
            assert client.sendmail("alice@example.org", given, content) == {}


def test_recipients_come_to_what_postfix_makes_of_them(tmp_path: Path) -> None:
    settings = {
        "virtual_alias_domains": "",
        "recipient_delimiter": "+",
        "enable_original_recipient": "no",
    }
    virtual = tmp_path / "virtual"
    virtual.write_text(WHOLE)
    entries = ", ".join(f"{{ {' = '.join(line.split(None, 1))} }}" for line in WHOLE.splitlines())
    with Sink() as theirs, Sink() as ours:
        aliases = f'\n[[aliases]]\nfile = "{virtual}"\n'
        with Relay(tmp_path / "relay", route(f"smtp://127.0.0.1:{ours.port}") + aliases) as relay:
            send(relay.port)
            wait_until(relay.is_idle, "all delivered")
        with Postfix(
            smtp_to(theirs.port), settings={**settings, "virtual_alias_maps": f"inline:{{ {entries} }}"}
        ) as postfix:
            send(postfix.port)
            wait_until(lambda: postfix.log.count(": removed") > len(GIVEN), "Postfix has delivered")
        assert reached(ours) == reached(theirs)
    assert len(reached(ours)) == len(GIVEN) + 1
