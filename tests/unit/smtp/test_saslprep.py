"""SASLprep: the examples of RFC 4013 3, and what it forbids left alone."""

import pytest

from postroad.smtp.saslprep import prepare


@pytest.mark.parametrize(
    ("given", "prepared"),
    [
        ("user", "user"),
        ("USER", "USER"),
        ("I\u00adX", "IX"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("\u0627\u0628", "\u0627\u0628"),
        # forbidden: as they are
        ("\u0007", "\u0007"),
        ("\u00e9\u0007", "\u00e9\u0007"),
        ("\u0627\u0031", "\u0627\u0031"),
        ("\u0627a\u0628", "\u0627a\u0628"),
        ("", ""),
        ("\u00ad", ""),
    ],
)
def test_prepare(given: str, prepared: str) -> None:
    assert prepare(given) == prepared
