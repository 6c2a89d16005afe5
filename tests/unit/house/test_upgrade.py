"""The command line of the next program, what its rehearsal complains of, and the rehearsal itself."""

import os
import socket
from pathlib import Path

import pytest

from postroad.config.problem import path_text
from postroad.config.schema import Config
from postroad.house.processes.upgrade import Program, complaints, program_of
from postroad.house.rehearsal import rehearse


@pytest.mark.parametrize(
    ("original", "prefix"),
    [
        (["python3", "-m", "postroad"], ("/usr/bin/python3", "-m", "postroad")),
        (["/usr/bin/python3", "/usr/bin/postroad"], ("/usr/bin/python3", "/usr/bin/postroad")),
        (["python3", "-X", "dev", "-m", "postroad"], ("/usr/bin/python3", "-X", "dev", "-m", "postroad")),
    ],
)
@pytest.mark.parametrize("arguments", [["serve"], ["serve", "-c", "a.toml"]])
def test_the_next_program_is_started_as_this_one_was(
    original: list[str], prefix: tuple[str, ...], arguments: list[str]
) -> None:
    found = program_of("/usr/bin/python3", [*original, *arguments], arguments)
    assert found == Program(prefix, tuple(arguments))


def test_what_a_rehearsal_complains_of() -> None:
    told = b"postroad: warning: a doubt\npostroad: a.toml:3: x: wrong\npostroad: 1 problem; nothing would start\n\n"
    assert complaints(told, 78) == ("a.toml:3: x: wrong", "1 problem; nothing would start")
    assert complaints(b"", 1) == ("the new program left its check with 1 and said nothing",)
    assert len(complaints(b"line\n" * 1000, 1)) == 50


def rehearsed(bind: list[str], have: list[str], desk: list[str] | None = None) -> list[str]:
    document: dict[str, object] = {"hostname": "relay.example.com", "listeners": {"mx": {"bind": bind}}}
    if desk is not None:
        document["desk"] = {"bind": desk}
    return [f"{path_text(one.path)}: {one.text}" for one in rehearse(Config.model_validate(document), have)]


def test_ports_that_are_taken_and_ports_that_are_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        (problem,) = rehearsed(["127.0.0.1:0", address], [])
        assert problem == f'listeners.mx.bind[1]: cannot listen on "{address}": Address already in use'
        (problem,) = rehearsed(["127.0.0.1:0"], [], [address])
        assert problem.startswith("desk.bind[0]: ")
        assert rehearsed([address], [address]) == []
        port = address.rpartition(":")[2]
        with socket.create_server(("127.0.0.2", int(port))):  # another of ours that goes, on the same port
            assert rehearsed([f"127.0.0.1:{port}"], [f"127.0.0.2:{port}"]) == []


def test_a_port_without_the_right_to_it() -> None:
    first_free_port = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    child = os.fork()  # a child gives its privileges up, so that root can run this test as well
    if child == 0:
        if os.getuid() == 0:
            os.setuid(65534)
        found = rehearsed(["127.0.0.1:25"], [])
        words = "Permission denied; ports below 1024 need root or CAP_NET_BIND_SERVICE"
        is_told = [words in line for line in found] == ([True] if first_free_port > 25 else [])
        os._exit(0 if is_told else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
