"""`postroad doctor` beside a running server, and where none runs: what it prints and how it leaves."""

import json
from pathlib import Path

from tests.support.command import run_command
from tests.support.relay import CAPTURE, Relay


def test_a_server_that_runs(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE) as relay:
        done = run_command("doctor", "listeners", "relay", "hops", "-a", "-c", relay.config)
        assert done.code == 0, done
        assert f"ok       listener: test on 127.0.0.1:{relay.port}: greets as relay.example.com" in done.out
        assert "ok       open relay: test: all 80 ways to relay to relay-test.invalid are refused" in done.out
        assert done.out.endswith("0 problems, 0 warnings, 0 unknown, 2 well\n")
        # Nothing of a session in memory reaches the server or its records.
        assert not relay.records("CommandRefused")


def test_no_server_runs(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE) as relay:
        config = relay.config
    done = run_command("doctor", "listeners", "resolver", "--json", "-c", config)
    assert done.code == 1
    found = {entry["about"]: entry for entry in map(json.loads, done.out.splitlines())}
    assert found[f"listener: test on 127.0.0.1:{relay.port}"]["what"] == "nobody answers: connection refused"
    assert found[f"listener: test on 127.0.0.1:{relay.port}"]["level"] == "problem"
    assert found["resolver"]["level"] == "problem"
    assert all(entry["mend"] for entry in found.values())


def test_another_server_has_the_port(tmp_path: Path) -> None:
    with Relay(tmp_path, CAPTURE) as relay:
        other = tmp_path / "other.toml"
        other.write_text(relay.config.read_text().replace('hostname = "relay.', 'hostname = "other.'))
        done = run_command("doctor", "listeners", "-c", other)
        assert done.code == 1
        assert "it calls itself relay.example.com, not other.example.com" in done.out


def test_warnings_count_when_they_are_to(tmp_path: Path) -> None:
    with Relay(tmp_path, '\n[[routes]]\nnext_hops = ["smtp://127.0.0.1:9"]\n') as relay:
        done = run_command("doctor", "hops", "-c", relay.config)
        assert done.code == 1
        assert "PROBLEM  next hop: smtp://127.0.0.1:9: connection refused\n" in done.out
        assert "           -> see that it runs" in done.out
    assert run_command("doctor", "--strict", "names", "-c", relay.config).code == 0  # unknown is no warning
    done = run_command("doctor", "teeth", "-c", relay.config)
    assert (done.code, "there is no check teeth; there are machine, resolver" in done.err) == (64, True)
