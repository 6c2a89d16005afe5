"""Importing a Postfix: five realistic ones become configurations that pass our check, and odd input never crashes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postroad.config.load import inspect_config
from postroad.config.postfix.files import read
from postroad.config.postfix.importing import translate
from postroad.config.postfix.transport import Target, target_of
from postroad.config.postfix.writing import write_checked
from postroad.model.address import parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.errors import ConfigError
from postroad.routing.rules import compile_rules

PLAIN = "smtp inet n - y - - smtpd\npickup unix n - y 60 1 pickup\nsmtp unix - - y - - smtp\n"


class Imported:
    """A Postfix of these files, imported."""

    def __init__(self, folder: Path, **files: str) -> None:
        source = folder / "postfix"
        source.mkdir(exist_ok=True)
        for name, text in {
            "master.cf": PLAIN,
            **{name.replace("_cf", ".cf"): text for name, text in files.items()},
        }.items():
            (source / name).write_text(text)
        postfix = read(source)
        assert postfix is not None
        file = folder / "postroad.toml"
        self.left = write_checked(translate(postfix), file, source)
        self.text = file.read_text()
        self.data: dict[str, Any] = tomllib.loads(self.text)
        loaded = inspect_config(file)
        assert loaded.config is not None, loaded.problems
        self.config = loaded.config
        self._rules = compile_rules(self.config.routes, self.config.egress)

    def lane(self, address: str, sender: str = "a@elsewhere.example") -> str:
        """Where mail for an address goes."""
        recipient = Recipient(parse_mailbox(address))
        envelope = Envelope(id="", sender=parse_mailbox(sender), recipients=(recipient,), arrived=0, size=0)
        placement = self._rules.place(envelope, recipient)
        return "" if placement is None else placement.lane


def test_a_smart_host(tmp_path: Path) -> None:
    made = Imported(
        tmp_path,
        main_cf="""
# a host that sends everything to its provider
compatibility_level = 3.6
myhostname = Host.example.com
mydestination =
inet_interfaces = loopback-only
inet_protocols = ipv4
mynetworks = 127.0.0.0/8 [::1]/128
relayhost = [smtp.isp.example]:587
smtp_tls_security_level = encrypt
smtp_sasl_auth_enable = yes
smtp_sasl_password_maps = hash:/etc/postfix/sasl
message_size_limit = 20480000
delay_warning_time = 4h
maximal_queue_lifetime = 5
""",
    )
    assert made.config.hostname == "host.example.com"
    assert made.data["listeners"] == {"mx": {"bind": ["127.0.0.1:25"]}}
    assert made.data["access"] == {"relay_networks": ["127.0.0.0/8", "::1/128"], "relay_domains": []}
    assert made.lane("b@anywhere.example") == "smtp://smtp.isp.example:587"
    assert made.config.delivery.tls == "required"
    assert (made.config.limits.message_size, made.config.queue.expire_after) == (20_480_000, 5 * 86400)
    assert made.left == ["smtp_sasl_auth_enable = yes", "smtp_sasl_password_maps = hash:/etc/postfix/sasl"]
    assert "# - smtp_sasl_auth_enable = yes\n" in made.text


def test_a_gateway_with_transport_maps(tmp_path: Path) -> None:
    made = Imported(
        tmp_path,
        main_cf="""
myhostname = gw.example.com
mydestination =
relay_domains = hash:/etc/postfix/relay_domains, example.org
transport_maps = hash:$config_directory/x hash:/etc/postfix/transport
smtpd_recipient_restrictions = permit_mynetworks,
    reject_unauth_destination, reject_rbl_client zen.example.org
""",
        relay_domains="example.com OK\n# comment\nexample.net OK\n",
        transport="""\
*                  smtp:[out.example]
.example.com       smtp:[10.0.0.5]
example.com        smtp:[10.0.0.4]:2525
boss@example.com   lmtp:inet:10.0.0.6:24
example.net        relay:[2001:db8::5]
example.org        :
gone.example       error:5.1.6 moved away
nowhere.example    discard:
slow.example       slow:
uucp.example       uucp:x
mx.example         smtp:other.example
""",
        master_cf=PLAIN
        + "slow unix - - y - - smtp\n  -o smtp_connect_timeout=5\nuucp unix - n n - - pipe\n  flags=F user=u\n",
    )
    assert made.lane("x@example.com") == "smtp://10.0.0.4:2525"
    assert made.lane("boss@example.com") == "lmtp://10.0.0.6:24"
    assert made.lane("x@a.example.com") == "smtp://10.0.0.5:25"
    assert made.lane("x@example.net") == "smtp://[2001:db8::5]:25"
    assert made.lane("x@example.org") == "mx:example.org"
    assert made.lane("x@mx.example") == "mx:other.example"
    assert made.lane("x@gone.example") == "fail:550 5.1.6 moved away"
    assert made.lane("x@nowhere.example").startswith("discard")
    assert made.lane("x@uucp.example").startswith("hold")
    assert made.lane("x@anything.example") == "smtp://out.example:25"
    assert made.data["access"]["relay_domains"][:2] == ["example.com", "*.example.com"]
    text = "\n".join(made.left)
    for words in ("transport_maps: hash:/x", "uucp", "the service slow"):
        assert words in text
    assert made.data["policies"] == [{"use": "dnsbl", "lists": [{"zone": "zen.example.org"}]}]


def test_a_relay_for_its_networks(tmp_path: Path) -> None:
    made = Imported(
        tmp_path,
        main_cf="""
myhostname = relay.example.com
mydomain = example.com
mydestination =
mynetworks = 127.0.0.0/8, 10.0.0.0/8,192.0.2.7 [2001:db8::]/32 cidr:/etc/postfix/nets 0.0.0.0/0
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
sender_dependent_relayhost_maps = texthash:/etc/postfix/senders
smtpd_client_connection_count_limit = 20
minimal_backoff_time = 300s
content_filter = smtp:[127.0.0.1]:10024
postscreen_greet_wait = 4s
postscreen_dnsbl_sites = zen.example.org*2 broken..zone*2 b.example.org=127.0.0.4
postscreen_dnsbl_threshold = 3
smtpd_milters = inet:localhost:8891
""",
        senders="news@example.com [news.isp.example]\n@example.org [other.isp.example]:2525\n",
        master_cf="""\
smtp      inet  n       -       y       -       1       postscreen
smtpd     pass  -       -       y       -       -       smtpd
2525      inet  n       -       y       -       -       smtpd
  -o { smtpd_client_restrictions = permit_mynetworks, reject }
127.0.0.1:10025 inet n - n - - smtpd
smtps     inet  n       -       y       -       -       smtpd
  -o smtpd_tls_wrappermode=yes
""",
    )
    assert [listener["bind"][-1] for listener in made.data["listeners"].values()] == [
        "[::]:25",
        "[::]:2525",
        "127.0.0.1:10025",
    ]
    assert [listener.get("greeting_delay") for listener in made.data["listeners"].values()] == ["4s", None, None]
    (lists,) = made.data["policies"]
    assert (lists["reject"], [one["zone"] for one in lists["lists"]]) == (3, ["zen.example.org", "b.example.org"])
    assert made.data["access"]["relay_networks"] == ["127.0.0.0/8", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]
    assert made.lane("b@x.example", "news@example.com") == "smtp://news.isp.example:25"
    assert made.lane("b@x.example", "q@example.org") == "smtp://other.isp.example:2525"
    assert made.lane("b@x.example", "q@example.com") == "mx:x.example"
    assert made.config.limits.sessions_per_ip == 20
    text = "\n".join(made.left)
    for words in (
        "open relay",
        "cidr:/etc/postfix/nets",
        "smtps",
        "postscreen",
        "broken..zone",
        "content_filter",
        "smtpd_milters",
        "backoff",
    ):
        assert words in text


def test_lmtp_to_dovecot(tmp_path: Path) -> None:
    made = Imported(
        tmp_path,
        main_cf="""
myhostname = mail.example.com
mydestination = $myhostname, localhost
local_transport = local
virtual_mailbox_domains = example.com example.org
virtual_transport = lmtp:unix:private/dovecot-lmtp
mailbox_transport = lmtp:inet:127.0.0.1
recipient_delimiter = +
smtpd_tls_cert_file = /etc/ssl/mail.pem
""",
    )
    assert made.lane("ann@example.com") == "lmtp:///var/spool/postfix/private/dovecot-lmtp"
    assert made.lane("root@mail.example.com") == "lmtp://127.0.0.1:24"
    assert made.data["access"]["relay_domains"] == ["example.com", "example.org", "mail.example.com"]
    assert made.left == ["smtpd_tls_cert_file = /etc/ssl/mail.pem"]


def test_virtual_aliases(tmp_path: Path) -> None:
    made = Imported(
        tmp_path,
        main_cf="""
myhostname = mail.example.com
mydestination = mail.example.com
virtual_alias_domains = example.com
virtual_alias_maps = hash:/etc/postfix/virtual, regexp:/etc/postfix/virtual.re, pcre:/etc/postfix/odd.pcre, ldap:/x
alias_maps = hash:/etc/aliases
""",
        virtual="info@example.com  ann@example.net,\n  bob@example.net\nexample.org x\n@example.org cid@example.net\n",
        **{"virtual.re": "/^(.*)-list@example\\.com$/  $1@lists.example\n", "odd.pcre": "/^(?<!x)a/ b@example.net\n"},
    )
    kinds = [("file" in table, "regexp" in table) for table in made.data["aliases"]]
    assert kinds == [(True, False), (False, True)]
    assert made.data["access"]["relay_domains"] == ["example.com", "example.org"]
    assert made.lane("nobody@example.com") == "fail:550 5.1.1 unknown recipient"
    assert made.lane("root@mail.example.com").startswith("hold")
    text = "\n".join(made.left)
    for words in ("pcre:/etc/postfix/odd.pcre: line 1", "ldap:/x", "alias_maps", "mydestination: mail.example.com"):
        assert words in text


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("smtp:", Target(("mx",))),
        (":[h.example]", Target(("smtp://h.example:25",))),
        ("smtp:[a.example]:submission, [b.example]", Target(("smtp://a.example:587", "smtp://b.example:25"))),
        ("lmtp:[::1]:2424", Target(("lmtp://[::1]:2424",))),
        ("lmtp:unix:/run/lmtp", Target(("lmtp:///run/lmtp",))),
        ("error:gone", Target(then={"fail": "550 5.0.0 gone"})),
        ("discard:", Target(then="discard")),
    ],
)
def test_transports(text: str, target: Target) -> None:
    assert target_of(text, {}, "/q") == target


@pytest.mark.parametrize("text", ["smtp:[h]:none", "lmtp:", "local", "virtual:", "smtp:[h]:99999"])
def test_transports_without_a_counterpart(text: str) -> None:
    target = target_of(text, {}, "/q")
    assert not target.hops
    assert target.then is None
    assert target.doubt


WORDS = st.sampled_from(
    [
        "$",
        "${",
        "}",
        "${a?b}",
        "${mydomain}",
        "$mydestination",
        "$myhostname",
        "=",
        ",",
        ":",
        "[",
        "]",
        "/",
        "\n",
        "#",
        "hash:/etc/postfix/x",
        "regexp:/etc/postfix/x",
        "hash:/etc/postfix/main.cf",
        "inline:{a=b}",
        "127.0.0.0/8",
        "0.0.0.0/0",
        "example.com",
        ".example.com",
        "@example.com",
        "a@b..c",
        "é",
        "\\",
        '"',
        "'",
        "smtp:[h]:25",
        "lmtp:unix:",
        "error:5.1.1",
        "::",
        "smtp",
        "inet",
        "n",
        "-",
        "y",
        "smtpd",
        "unix",
        "pipe",
        "-o",
        "a=b",
        "{a=b}",
        "25",
        "99999",
        "0",
        "1d",
        "yes",
        "1e9",
    ]
)
NAMES = st.sampled_from(
    [
        "myhostname",
        "mydomain",
        "mydestination",
        "mynetworks",
        "relay_domains",
        "relayhost",
        "transport_maps",
        "virtual_alias_maps",
        "virtual_alias_domains",
        "virtual_mailbox_domains",
        "virtual_transport",
        "message_size_limit",
        "delay_warning_time",
        "inet_interfaces",
        "maximal_queue_lifetime",
        "default_transport",
        "sender_dependent_relayhost_maps",
        "recipient_delimiter",
        "smtpd_x_restrictions",
        "smtp_tls_security_level",
        "hopcount_limit",
        "inet_protocols",
        "header_size_limit",
        "smtp_connect_timeout",
    ]
)
VALUES = st.lists(WORDS, max_size=5).map(" ".join)


@pytest.mark.parametrize(
    ("level", "tls"), [("none", "off"), ("may", "opportunistic"), ("dane", "opportunistic"), ("encrypt", "required")]
)
def test_levels_of_tls(tmp_path: Path, level: str, tls: str) -> None:
    """DANE needs no option, and is opportunistic where there are no records; dane-only is for destinations alone."""
    main_cf = "myhostname = host.example.com\nmydestination =\nmynetworks = 127.0.0.0/8\n"
    made = Imported(tmp_path, main_cf=f"{main_cf}smtp_tls_security_level = {level}\n")
    assert made.config.delivery.tls == tls


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(NAMES, VALUES), max_size=8),
    st.lists(VALUES, max_size=5),
    st.lists(st.tuples(WORDS, VALUES), max_size=6),
    st.binary(max_size=30),
)
def test_odd_input_never_crashes(
    tmp_path: Path, main: list[tuple[str, str]], master: list[str], table: list[tuple[str, str]], junk: bytes
) -> None:
    text = "".join(f"{name} = {value}\n" for name, value in main)
    lines = "".join(f"{line}\n" for line in master)
    x = "".join(f"{key} {value}\n" for key, value in table)
    (tmp_path / "postfix").mkdir(exist_ok=True)
    Imported(tmp_path, main_cf=text, master_cf=lines, x=x)
    for name in ("main.cf", "master.cf", "x"):
        (tmp_path / "postfix" / name).write_bytes(junk)
    postfix = read(tmp_path / "postfix")
    assert postfix is not None
    write_checked(translate(postfix), tmp_path / "postroad.toml", tmp_path)


def test_parameters_that_hold_themselves_end(tmp_path: Path) -> None:
    made = Imported(tmp_path, main_cf="relayhost = $relayhost $a\na = $a$a$a$a$a$a$a$a\nmyhostname = h.example.com\n")
    assert made.lane("b@x.example") == "mx:x.example"


def test_without_main_cf(tmp_path: Path) -> None:
    assert read(tmp_path) is None


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("myhostname = h.example.com\n")
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("broken = [")
    postfix = read(tmp_path)
    assert postfix is not None
    with pytest.raises(ConfigError):
        write_checked(translate(postfix), tmp_path / "postroad.toml", tmp_path)
    assert not (tmp_path / "postroad.toml.new").exists()
