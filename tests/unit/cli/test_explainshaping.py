"""What explain says of shaping and retry rules."""

from postroad.cli.explain.shaping import explain_rules, rule_lines
from postroad.config.schema import Config
from postroad.model.address import NULL_PATH, parse_mailbox
from postroad.model.envelope import Envelope, Recipient
from postroad.model.route import Route, Target

ENVELOPE = Envelope("", NULL_PATH, (Recipient(parse_mailbox("bob@example.org")),), 0, 0)
ROUTE = Route("mx:example.org", (Target("smtp", "mx1.provider.example", "192.0.2.1", 25),), "MX", site="provider")


def config(**sections: object) -> Config:
    return Config.model_validate({"listeners": {"mx": {"bind": ("127.0.0.1:25",)}}, **sections})


def lines(settings: Config, route: Route | None = ROUTE) -> list[str]:
    return rule_lines(explain_rules(settings, ENVELOPE, "mx:example.org", route))


def test_without_rules_the_schedule_of_the_queue() -> None:
    words = "retry     tries after 1m, 5m, 15m, 30m, 1h, 2h, 4h; warns after 4h, fails after 5d"
    assert lines(config()) == [words]


def test_which_rule_gives_each_option_and_who_shares_it() -> None:
    shaping = (
        {"per": "lane", "concurrency": 5, "connect_timeout": "10s"},
        {"mx": ("*.provider.example",), "rates": ("100/minute", "5000/day")},
        {"sources": ("",), "rates": ("9/second",)},
        {"sites": ("other",), "concurrency": 1},
        {"sites": ("provider",), "per": "site", "concurrency": 7, "replies": ({"match": "421 *", "as": "retry 5m"},)},
    )
    assert lines(config(shaping=shaping))[:-1] == [
        "shaping   concurrency 7: rule 4, shared by its site",
        "shaping   rates 100/minute, 5000/day: rule 1, shared by what the rule covers",
        "shaping   connect_timeout 10s: rule 0",
        "shaping   rates 9/second: rule 2, of the source",
        'shaping   "421 *" means retry 5m: rule 4',
    ]
    assert len(lines(config(shaping=shaping), None)) == 3, "without a route only rules that need none"


def test_retry_rules_and_those_that_an_error_may_bring() -> None:
    retry = (
        {"domains": ("example.org",), "retry": ("2m",), "warn_after": "never"},
        {"domains": ("example.org",), "errors": ("4.2.2",), "retry": ("4h",)},
        {"domains": ("example.net",), "retry": ("9m",)},
    )
    assert lines(config(retry=retry)) == [
        "retry     tries after 2m; warns after never, fails after 5d (retry rules 0)",
        "          after some errors, too: retry rules 1",
    ]
