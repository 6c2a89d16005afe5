"""Rules: the stage each belongs to, which wins, and that the compiled ones decide as a naive reading of them does."""

import itertools
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postroad.config.schema import Config
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Origin
from postroad.model.identity import Identity
from postroad.policy.context import Peer
from postroad.policy.rules.book import Rulebook
from postroad.policy.rules.course import NO_LIMIT, Course
from postroad.policy.rules.rehearsal import NotingRulebook
from postroad.policy.rules.situation import Situation
from postroad.policy.verdict import Accept, Adjust, Reject
from tests.support.conversation import NOW
from tests.support.ruling import config_of, judge, rulebook_of


def stages(toml: str) -> list[int]:
    return [rule.stage for rule in rulebook_of(config_of(toml)).rules]


def rule(when: str, then: str = '"reject"', more: str = "") -> str:
    return f"[[rules]]\nwhen = {{ {when} }}\nthen = {then}\n{more}\n"


@pytest.mark.parametrize(
    ("when", "then", "stage"),
    [
        ('network = "192.0.2.0/24"', '"reject"', 0),
        ('listener = "mx", time = "sat,sun"', '"defer"', 0),
        ('network = "192.0.2.0/24"', '"discard"', 1),
        ('network = "192.0.2.0/24"', '"hold"', 1),
        ('network = "192.0.2.0/24", login = "*"', '"reject"', 1),
        ('network = "192.0.2.0/24"', '{ add = "c@example.com" }', 3),
        ('recipient = "example.com"', '{ add = "c@example.com" }', 2),
        ('direction = "outbound"', '{ tag = "out" }', 2),
        ('sender = "<>", larger_than = 10', '"reject"', 3),
        ('header = { Subject = "*" }', '"reject"', 3),
        ('from = "example.com"', '"reject"', 3),
        ('finding = ["spf:fail", "ptr:missing"]', '"reject"', 2),
        ('finding = ["spf:fail", "dmarc:fail"]', '"reject"', 3),
        ('finding = "!arc:fail"', '"reject"', 3),
    ],
)
def test_each_rule_is_asked_as_early_as_it_can_be(when: str, then: str, stage: int) -> None:
    assert stages(rule(when, then)) == [stage]


def test_a_rule_waits_for_those_above_it_that_let_mail_through() -> None:
    block = rule('network = "192.0.2.0/24"')
    assert stages(rule('sender = "boss@example.com", network = "192.0.2.1"', '"accept"') + block) == [1, 1]
    assert stages(rule('sender = "boss@example.com"', '"reject"') + block) == [1, 0]
    assert stages(rule('sender = "boss@example.com"', '{ tag = "x" }', "continue = true") + block) == [1, 0]
    assert stages(rule('recipient = "example.com"', '"accept"') + block) == [2, 2]
    assert stages(rule('header = { Subject = "x" }, login = "*"', '"accept"') + block) == [3, 2]


def test_a_rule_waits_for_the_tags_it_asks_for() -> None:
    giving = rule('recipient = "example.com"', '{ tag = "vip" }', "continue = true")
    assert stages(giving + rule('tag = "vip"') + rule('tag = "*"') + rule('tag = "other"')) == [2, 2, 2, 1]
    assert stages(giving + rule('tag = "!vip"')) == [2, 2]


def test_the_first_that_matches_wins_and_others_may_go_on() -> None:
    config = config_of(
        rule('recipient = "example.com"', '{ tag = "a" }', "continue = true")
        + rule('recipient = "b@example.com"', '{ tag = "b", hold = "look at it" }')
        + rule('recipient = "example.com"', '{ tag = "c" }')
        + rule('header = { X-Spam = "yes" }', "{ reject = true }")
    )
    found = judge(config, headers={"X-Spam": "yes"})
    assert (found.outcome, found.adjust.tags, found.adjust.hold) == ("hold", ("a", "b"), "look at it (rule 2)")
    assert [step.why or "matches" for step in found.steps] == [
        "matches",
        "matches",
        "not asked: rule 2 ended it",
        "not asked: a rule above it ended it",
    ]
    other = judge(config, to="c@example.com", headers={"X-Spam": "yes"})
    assert (other.outcome, other.by, other.reply) == ("accept", "relay control", "")
    assert other.adjust.tags == ("a", "c")


def test_accept_lets_a_recipient_be_relayed_but_not_routed_on() -> None:
    config = config_of(rule('network = "192.0.2.0/24"', '"accept"'))
    assert judge(config, to="x@elsewhere.example").by == "1"
    assert judge(config, to="x@elsewhere.example", ip="198.51.100.1").outcome == "reject"
    hacked = judge(config, to="x%elsewhere.example@example.com")
    assert (hacked.outcome, hacked.by) == ("reject", "relay control")


def test_refusals_have_their_own_words() -> None:
    config = config_of(
        rule('sender = "a@example.org"', '{ reject = "550 5.7.13 Not you" }')
        + rule('sender = "b@example.org"', '{ defer = "Later" }')
        + rule('sender = "c@example.org"', "{ defer = true }")
        + rule('sender = "d@example.org"', '{ reject = "5.7.14 Nor you" }')
    )
    assert judge(config).reply == "550 5.7.13 Not you"
    assert judge(config, sender="b@example.org").reply == "450 4.7.1 Later"
    assert judge(config, sender="d@example.org").reply == "550 5.7.14 Nor you"
    assert judge(config, sender="c@example.org").reply == "450 4.7.1 Not now, try again later"
    greeting = config_of(rule('network = "192.0.2.0/24"', '{ reject = "Go away" }'))
    assert judge(greeting).reply == "554 5.7.1 Go away"


# -- compiled against naive ------------------------------------------------------------------------

USERS = ("", "anna", "bob")
SENDERS = ("anna@example.com", "bob@example.com", "x@example.org", "")
RECIPIENTS = ("anna@example.com", "root@sub.example.com", "y@example.net")
IPS = ("10.1.1.1", "192.0.2.1", "2001:db8::7", "")
LISTENERS = ("mx", "submission")

some = {
    "listener": st.lists(st.sampled_from(["mx", "sub*", "!mx", "submission", "drops"]), max_size=2),
    "network": st.lists(st.sampled_from(["10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "!10.1.0.0/16"]), max_size=2),
    "login": st.lists(st.sampled_from(["*", "anna", "b?b", "!anna", "ANNA", "!*"]), max_size=2),
    "group": st.lists(st.sampled_from(["staff", "!guests", "g*"]), max_size=2),
    "sender": st.lists(
        st.sampled_from(["example.com", "anna@example.com", "<>", "*", "!bob@example.com", "*@example.org"]), max_size=2
    ),
    "recipient": st.lists(
        st.sampled_from(["example.com", "*.example.com", "y@*", "!anna@example.com", "example.net"]), max_size=2
    ),
    "direction": st.lists(st.sampled_from(["inbound", "outbound", "internal"]), max_size=1),
    "larger_than": st.sampled_from([0, 0, 50]),
    "header": st.sampled_from([{}, {}, {"Subject": ["*spam*"]}, {"X-None": ["!*"]}, {"Subject": ["*", "!ham"]}]),
    "tag": st.lists(st.sampled_from(["t1", "t2", "!t1"]), max_size=1),
}
whens = st.fixed_dictionaries({}, optional=some)
thens = st.sampled_from(
    [
        {"accept": True},
        {"reject": True},
        {"defer": True},
        {"discard": True},
        {"tag": ["t1"]},
        {"tag": ["t2"], "route": "r"},
        {"hold": "why"},
        {"accept": True, "tag": ["t1"]},
        {"redirect": ["z@example.com"]},
    ]
)


def _rule(when: dict[str, Any], then: dict[str, Any], goes_on: bool) -> dict[str, Any]:
    ends = any(key in then for key in ("accept", "reject", "defer", "discard"))
    return {
        "when": {key: value for key, value in when.items() if value},
        "then": then,
        "continue": goes_on and not ends,
    }


rules = st.lists(st.builds(_rule, whens, thens, st.booleans()), min_size=1, max_size=14)
messages = st.tuples(
    st.sampled_from(LISTENERS),
    st.sampled_from(IPS),
    st.sampled_from(USERS),
    st.sampled_from(SENDERS),
    st.sampled_from(RECIPIENTS),
    st.sampled_from(["", "spam", "ham", "some SPAM here"]),
    st.sampled_from([10, 100]),
)


class Naive:
    """Rules read one after the other, by the words of the reference page."""

    def __init__(self, rules: list[dict[str, Any]], message: tuple[Any, ...]) -> None:
        self.rules = rules
        self.listener, self.ip, self.login, self.sender, self.recipient, self.subject, self.size = message
        self.tags: list[str] = []

    def _any(self, entries: list[str], means: Any, *, many: list[Any]) -> bool:
        wanted = [entry for entry in entries if not entry.startswith("!")]
        never = [entry[1:] for entry in entries if entry.startswith("!")]
        hit = not wanted or any(means(entry, value) for entry in wanted for value in many)
        return hit and not any(means(entry, value) for entry in never for value in many)

    @staticmethod
    def _text(entry: str, text: str) -> bool:
        return fnmatchcase(text.lower(), entry.lower())

    @staticmethod
    def _network(entry: str, ip: str) -> bool:
        return bool(ip) and ip_address(ip) in ip_network(entry)

    @staticmethod
    def _address(entry: str, address: str) -> bool:
        if entry in ("*", "<>"):
            return entry == "*" or not address
        domain = address.rpartition("@")[2]
        if "@" in entry:
            return fnmatchcase(address, entry)
        return domain.endswith(entry[1:]) if entry.startswith("*.") else domain == entry

    def holds(self, key: str, value: Any) -> bool:
        trusted = self.login != "" or self.ip == "10.1.1.1"
        local = self.recipient.endswith("example.com")
        direction = "outbound" if not local else "internal" if trusted else "inbound"
        match key:
            case "listener":
                return self._any(value, self._text, many=[self.listener])
            case "network":
                return self._any(value, self._network, many=[self.ip])
            case "login":
                return self._any(value, self._text, many=[self.login] if self.login else [])
            case "group":
                return self._any(value, self._text, many=["staff", "guests"] if self.login == "anna" else [])
            case "sender":
                return self._any(value, self._address, many=[self.sender])
            case "recipient":
                return self._any(value, self._address, many=[self.recipient])
            case "direction":
                return direction in value
            case "larger_than":
                return bool(self.size > value)
            case "header":
                fields = {"Subject": [self.subject] if self.subject else []}
                return all(self._any(texts, self._text, many=fields.get(name, [])) for name, texts in value.items())
            case "tag":
                return self._any(value, self._text, many=self.tags)
        raise AssertionError(key)

    def stages(self) -> list[int]:
        of_key = {"listener": 0, "network": 0, "login": 1, "group": 1, "sender": 1, "tag": 1, "direction": 2}
        of_key |= {"recipient": 2, "larger_than": 3, "header": 3}
        found: list[int] = []
        for at, one in enumerate(self.rules):
            stage = max([of_key[key] for key in one["when"]], default=0)
            for above, other in enumerate(self.rules[:at]):
                if not other["continue"] and not set(other["then"]) & {"reject", "defer", "discard"}:
                    stage = max(stage, min(2, found[above]))
                if {text.removeprefix("!") for text in one["when"].get("tag", [])} & set(other["then"].get("tag", [])):
                    stage = max(stage, found[above])
            if "redirect" in one["then"]:
                stage = 2 if stage == 2 else 3
            elif not set(one["then"]) <= {"accept", "reject", "defer"}:
                stage = max(stage, 1)
            found.append(stage)
        return found

    def decide(self) -> tuple[list[int], str]:
        """The rules that match, and the last word of them about the message."""
        matched: list[int] = []
        limit, word, then = len(self.rules), "", self.recipient
        for stage in range(4):
            self.recipient = then
            for at, (one, its) in enumerate(zip(self.rules, self.stages(), strict=True)):
                if its != stage or at >= limit:
                    continue
                if not all(self.holds(key, value) for key, value in one["when"].items()):
                    continue
                matched.append(at)
                self.tags += one["then"].get("tag", [])
                if "redirect" in one["then"] and stage == 2:
                    then = "z@example.com"
                if not one["continue"]:
                    limit = at
                    ends = [key for key in one["then"] if key in ("accept", "reject", "defer", "discard")]
                    word = "".join(ends) or word
                    if ends and ends != ["accept"]:
                        return matched, word
                    break
        return matched, word


def compiled(given: list[dict[str, Any]]) -> tuple[Config, Rulebook]:
    config = config_of("").model_copy(
        update={"rules": Config.model_validate({"listeners": {"mx": {"bind": ["127.0.0.1:0"]}}, "rules": given}).rules}
    )
    return config, rulebook_of(config)


def taken(book: Rulebook, message: tuple[Any, ...]) -> tuple[list[Any], NotingRulebook]:
    """The answers of the four stages, up to a refusal."""
    listener, ip, login, sender, recipient, subject, size = message
    groups = frozenset({"staff", "guests"}) if login == "anna" else frozenset[str]()
    identity = Identity(login, "test", groups=groups) if login else None
    peer, origin = Peer(ip, ip == "10.1.1.1", identity), Origin(ip, 0, "", "", listener, "", login)
    noting = NotingRulebook(book)
    address, path = parse_mailbox(recipient), parse_mailbox(sender) if sender else NULL_PATH
    head = f"Subject: {subject}\r\n".encode() if subject else b""

    def answers_of(rulebook: Rulebook) -> list[Any]:
        course = Course(rulebook, Situation(peer, origin, NOW))
        found: list[Any] = []
        for ask in (course.connect, lambda: course.mail(path), lambda: course.rcpt(address)):
            found.append(ask())
            if not isinstance(found[-1], Accept | Adjust | None):
                return found
        adjust = found[-1].adjust if isinstance(found[-1], Accept) else found[-1]
        to = adjust.redirect if isinstance(adjust, Adjust) and adjust.redirect else (address,)
        return [*found, course.message(to, head, size)]

    answers = answers_of(book), answers_of(noting)
    assert answers[0] == answers[1]  # looked up, and asked one by one
    return answers[0], noting


@settings(max_examples=400, deadline=None)
@given(rules, messages)
def test_compiled_rules_decide_as_a_naive_reading_of_them(
    given: list[dict[str, Any]], message: tuple[Any, ...]
) -> None:
    _, book = compiled(given)
    answers, noting = taken(book, message)
    naive = Naive(given, message)
    assert [one.stage for one in book.rules] == naive.stages()
    matched, word = naive.decide()
    assert [int(step.rule) - 1 for step in noting.steps if step.matches] == matched
    if word == "accept":
        assert any(isinstance(answer, Accept) for answer in answers) or len(answers) == 4
    elif word:
        assert type(answers[-1]).__name__.lower() == word


def test_many_rules_are_found_by_look_up() -> None:
    given = [
        {"when": {"sender": [f"u{number}@d{number}.example"], "recipient": ["example.com"]}, "then": {"reject": True}}
        for number in range(1000)
    ]
    config, _ = compiled(given)
    found = judge(config, sender="u900@d900.example")
    assert (found.outcome, found.by) == ("reject", "901")
    assert judge(config).outcome == "accept"


# -- the matrix ------------------------------------------------------------------------------------

MATRIX = """
[senders]
bind = true

[devices.printers]
networks = ["198.51.100.0/24"]
senders = ["scanner@example.com"]
internal = true

[[rules]]
name = "interns stay inside"
when = { group = "interns", direction = "outbound" }
then = { reject = "Interns write to colleagues only" }

[[rules]]
name = "app"
when = { login = "app" }
then = { accept = true, route = "bulk" }

[[rules]]
name = "logged in"
when = { login = "*" }
then = "accept"
"""
SOURCES = {
    "stranger": {"ip": "192.0.2.1"},
    "relay network": {"ip": "10.1.1.1"},
    "printer": {"ip": "198.51.100.9"},
    "anna": {"ip": "192.0.2.2", "login": "anna", "addresses": ("anna@example.com", "sales@example.com")},
    "intern": {"ip": "10.1.1.2", "login": "ida@example.com", "groups": ("CN=interns,OU=groups,DC=example", "interns")},
    "app": {"ip": "192.0.2.3", "login": "app", "addresses": ("app@example.com",)},
}
SENDER_OF = {"anna": "sales@example.com", "intern": "ida@example.com", "printer": "scanner@example.com"}
EXPECTED = {
    # source: own sender to inside, own sender to outside, foreign sender to inside, foreign sender to outside
    "stranger": ("accept", "reject", "accept", "reject"),
    "relay network": ("accept", "accept", "accept", "accept"),
    "printer": ("accept", "reject", "reject", "reject"),
    "anna": ("accept", "accept", "reject", "reject"),
    "intern": ("accept", "reject", "reject", "reject"),
    "app": ("accept", "accept", "reject", "reject"),
}


def test_matrix_of_source_destination_and_login() -> None:
    config = config_of(MATRIX)
    for source, client in SOURCES.items():
        own = SENDER_OF.get(source, "app@example.com" if source == "app" else "someone@example.org")
        outcomes = tuple(
            judge(config, sender=sender, to=to, **client).outcome  # type: ignore[arg-type]
            for sender, to in itertools.product((own, "ceo@example.com"), ("bob@example.com", "x@example.net"))
        )
        assert (source, outcomes) == (source, EXPECTED[source])


def test_the_limit_of_an_untouched_course() -> None:
    course = Course(Rulebook([]), Situation(Peer("192.0.2.1", relays=False), Origin(), NOW))
    assert course.connect() is None
    assert course.limit == NO_LIMIT
    assert not isinstance(course.rcpt(parse_mailbox("a@b.example")), Reject)
