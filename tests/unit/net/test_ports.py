"""Sockets for several processes at one address: none is refused, none is shared with a stranger."""

import socket

import pytest

from postroad.net.process.ports import given_port, open_port, ports_of


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_each_process_has_its_own_and_connections_are_dealt_out(host: str) -> None:
    port = open_port((host, 0), 2)
    address, number = port.bound
    assert address == host
    first, second = port.of(0), port.of(1)
    first.setblocking(False)
    clients = [socket.create_connection((host, number), timeout=5) for _ in range(40)]
    taken = 0
    for listening in (first, second):
        listening.setblocking(False)
        count = 0
        while True:
            try:
                listening.accept()[0].close()
            except BlockingIOError:
                break
            count += 1
        assert count > 0
        taken += count
    assert taken == 40
    for one in (*clients, first, second):
        one.close()
    port.close()


def test_a_copy_that_is_closed_leaves_what_waits_to_the_next_process() -> None:
    port = open_port(("127.0.0.1", 0), 1)
    port.of(0).close()
    with socket.create_connection(port.bound, timeout=5):
        again = port.of(0)
        again.setblocking(True)
        again.accept()[0].close()
        again.close()
    port.close()


def test_an_address_that_somebody_has_cannot_be_had() -> None:
    port = open_port(("127.0.0.1", 0), 2)
    with pytest.raises(OSError, match="in use"):
        open_port(port.bound, 2)  # though both would share it
    port.close()


def test_a_socket_that_was_handed_over_serves_all() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    port = given_port(listening)
    copies = [port.of(place) for place in range(3)]
    assert {one.getsockname() for one in copies} == {listening.getsockname()}
    for one in copies:
        one.close()
    port.close()


def test_sockets_are_taken_by_the_address_that_was_asked_for() -> None:
    port = open_port(("127.0.0.1", 0), 2)
    sockets = ports_of({("127.0.0.1", 0): port}, 1)
    assert sockets.take("any", "127.0.0.1", 25) is None
    taken = sockets.take("any", "127.0.0.1", 0)
    assert taken is not None
    assert taken.address == port.bound
    assert sockets.left() == []
    taken.socket.close()
    port.close()
