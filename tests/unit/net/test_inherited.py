"""Sockets that were handed over: who gets which, and what is left."""

import os
import socket

import pytest

from postroad.net.process.inherited import Given, Inherited, inherited_sockets


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def taken(inherited: Inherited, name: str, host: str, port: int) -> socket.socket:
    given = inherited.take(name, host, port)
    assert given is not None
    return given.socket


def test_by_address_first_then_by_name() -> None:
    one, two = listening(), listening()
    inherited = Inherited([Given("mx", one), Given("submission", two)])
    host, port = two.getsockname()
    assert taken(inherited, "mx", host, port) is two
    assert taken(inherited, "mx", "0.0.0.0", 25) is one
    assert inherited.take("mx", "127.0.0.1", 25) is None
    assert inherited.left() == []
    one.close()
    two.close()


@pytest.mark.parametrize("names", [("mx", "mx"), ("", ""), ("unknown", "unknown")])
def test_a_name_that_several_have_says_nothing(names: tuple[str, str]) -> None:
    inherited = Inherited([Given(name, listening()) for name in names])
    assert inherited.take(names[0], "127.0.0.1", 1) is None
    assert len(inherited.left()) == 2
    inherited.close()
    assert inherited.left() == []


def test_a_socket_that_is_no_listener_of_ours() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        inherited = Inherited([Given("mx", other)])
        assert inherited.take("mx", "127.0.0.1", 25) is None
        assert inherited.left() == ["mx :0"]


@pytest.mark.parametrize("environment", [{}, {"LISTEN_PID": "1", "LISTEN_FDS": "1"}, {"LISTEN_FDS": "1"}])
def test_sockets_for_others_are_not_touched(environment: dict[str, str]) -> None:
    given = dict(environment)
    assert inherited_sockets(given).left() == []
    assert given == {}


@pytest.mark.parametrize("count", ["0", "-1", "many"])
def test_odd_counts_are_none(count: str) -> None:
    environment = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count, "LISTEN_FDNAMES": "mx"}
    assert inherited_sockets(environment).left() == []


def test_what_stands_in_the_way_is_closed_and_nothing_else() -> None:
    here, there = listening(), listening()
    host, port = here.getsockname()
    inherited = Inherited([Given("a", here), Given("b", there)])
    inherited.make_way("127.0.0.2", port)
    assert here.fileno() >= 0
    inherited.make_way("0.0.0.0", port)
    assert here.fileno() < 0
    assert [line.split()[0] for line in inherited.left()] == ["b"]
    inherited.make_way(host, there.getsockname()[1])
    assert inherited.left() == []


def test_a_unix_socket_goes_by_its_name_alone() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as ours, listening() as other:
        inherited = Inherited([Given("control", other), Given("control", ours)])
        assert inherited.take_unix("test") is None
        assert inherited.take_unix("control") is ours
        assert inherited.take_unix("control") is None


def test_who_was_here_before_is_told_once() -> None:
    environment = {"POSTROAD_UPGRADED_FROM": "1.2.3"}
    assert inherited_sockets(environment).upgraded_from == "1.2.3"
    assert inherited_sockets(environment).upgraded_from == ""
