"""The soak's judgement of memory: a leak is found, noise and a first growth are none."""

from tests.soak.gauges import MIB, Sample, growth


def life(*octets: float) -> list[Sample]:
    return [Sample(float(second), 42, int(memory), 20) for second, memory in enumerate(octets)]


def test_flat_memory_is_right() -> None:
    assert growth(life(*[80 * MIB + (n % 5) * MIB for n in range(90)])) == ""


def test_growth_at_the_beginning_is_no_leak() -> None:
    assert growth(life(*[min(40 + n * 2, 80) * MIB for n in range(90)])) == ""


def test_a_leak_is_found() -> None:
    found = growth(life(*[(80 + n * 0.6) * MIB for n in range(90)]))
    assert found.startswith("memory of process 42 grew from ")


def test_a_short_life_says_nothing() -> None:
    assert growth(life(*[(80 + n) * MIB for n in range(30)])) == ""
