"""Durations and sizes as people write them."""

import pytest
from pydantic import ValidationError

from postroad.model.option import NEVER, Duration, Settings, Size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("5m", 300),
        ("4h", 14400),
        ("5d", 432000),
        ("1w", 604800),
        ("250ms", 0.25),
        ("1.5h", 5400),
        ("never", NEVER),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5 minutes", "-5m", "m", "1e3s", "٣s", 5, None, True])
def test_no_durations(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "octets"), [("50MiB", 50 << 20), ("10kB", 10_000), ("1.5KiB", 1536), ("7", 7), ("7B", 7), (7, 7)]
)
def test_sizes(text: object, octets: int) -> None:
    assert parse_size(text) == octets


@pytest.mark.parametrize("text", ["", "MiB", "-1", "5 potatoes", True, 1.5, None])
def test_no_sizes(text: object) -> None:
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


def test_settings_are_frozen_and_closed() -> None:
    class Sample(Settings):
        wait: Duration = 1.0
        room: Size = 1

    assert Sample.model_validate({"wait": "2m", "room": "1KiB"}) == Sample(wait=120.0, room=1024)
    with pytest.raises(ValidationError):
        Sample.model_validate({"wiat": "2m"})
    with pytest.raises(ValidationError):
        Sample().wait = 3.0  # type: ignore[misc]  # frozen: that is what is tested
