"""`postroad explain` names the policies that would be asked, in order, and says what stands against one."""

import json
from pathlib import Path

from tests.support.command import run_command

CONFIGURATION = """\
hostname = "relay.example.com"
[listeners.mx]
bind = ["127.0.0.1:2599"]
[listeners.inside]
bind = ["127.0.0.1:2598"]
[resolver]
nameservers = ["127.0.0.1:9"]
[[policies]]
use = "dnsbl"
listeners = ["mx"]
zones = ["zen.example.net"]
[[policies]]
use = "office:mark"
[[policies]]
use = "missing:function"
[[routes]]
next_hops = ["capture:"]
"""
OWN = '''
from postroad.policy.context import MessageContext

def mark(ctx: MessageContext) -> None:
    """Mark what is ours.

    And more.
    """
'''


def test_policies_are_named(tmp_path: Path) -> None:
    config = tmp_path / "postroad.toml"
    config.write_text(CONFIGURATION)
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "office.py").write_text(OWN)
    done = run_command("explain", "--to", "bob@example.net", "-c", config)
    lines = [line for line in done.out.splitlines() if line.startswith("policy")]
    assert lines[0].startswith("policy    dnsbl at rcpt: Refuse, defer or tag mail of clients")
    assert lines[1] == "policy    office:mark at message: Mark what is ours."
    assert lines[2].startswith('policy    missing:function cannot be used: "missing:function": there is neither')
    inside = run_command("explain", "--to", "bob@example.net", "--listener", "inside", "--json", "-c", config)
    assert [one["use"] for one in json.loads(inside.out)["policies"]] == ["office:mark", "missing:function"]
