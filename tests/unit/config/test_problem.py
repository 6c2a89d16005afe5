"""How a problem reads, and where it is said to stand."""

import pytest

from postroad.config.locate import KeyPath
from postroad.config.problem import Place, Problem, path_text, place_of, render


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("listeners", "mx", "bind", 0), "listeners.mx.bind[0]"),
        (("a-b", "c_d", "2"), "a-b.c_d.2"),
        (("listeners", "my listener"), "listeners.'my listener'"),
        (("",), "''"),
        (("routes", 1), "routes[1]"),
    ],
)
def test_paths(path: KeyPath, text: str) -> None:
    assert path_text(path) == text


def test_the_nearest_written_place_is_told() -> None:
    places = {(): Place("f.toml"), ("routes", 0): Place("f.toml", 3)}
    assert place_of(("routes", 0, "next_hops"), places) == Place("f.toml", 3)
    assert place_of(("queue", "retry"), places) == Place("f.toml")
    assert (
        render(Problem(("routes", 0, "next_hops"), "is required"), places)
        == "f.toml:3: routes[0].next_hops: is required"
    )
    assert render(Problem(("queue",), "no"), places) == "f.toml: queue: no"
    assert render(Problem((), "cannot be read", Place("g.toml")), places) == "g.toml: cannot be read"
