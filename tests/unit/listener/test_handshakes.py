"""How many handshakes run at one time, and who makes way."""

from postroad.listener.handshakes import PATIENCE, Handshakes


class Client:
    """Counts how often it had to make way."""

    def __init__(self) -> None:
        self.cut = 0

    def give_way(self) -> None:
        self.cut += 1


def test_the_oldest_makes_way_once_it_has_had_its_time() -> None:
    now = [0.0]
    handshakes = Handshakes(2, lambda: now[0])
    first, second, third = Client(), Client(), Client()
    assert handshakes.begin(first)
    now[0] += 1
    assert handshakes.begin(second)
    now[0] = PATIENCE - 0.1
    assert not handshakes.begin(third)
    now[0] = PATIENCE
    assert handshakes.begin(third)
    assert (first.cut, second.cut, third.cut) == (1, 0, 0)
    assert len(handshakes) == 2
    handshakes.end(first)  # it tells so itself, later
    assert len(handshakes) == 2
    assert not handshakes.begin(Client())  # the second has not had its time yet


def test_whose_handshake_is_over_leaves_room() -> None:
    handshakes = Handshakes(1, lambda: 0.0)
    first = Client()
    assert handshakes.begin(first)
    assert not handshakes.begin(Client())
    handshakes.end(first)
    assert handshakes.begin(Client())
    assert first.cut == 0
