"""Sites: one name for the hosts of one provider."""

import pytest

from postroad.routing.sites import Sites

SITES = Sites(
    {
        "google": ("*.google.com", "*.googlemail.com", "aspmx.example"),
        "one": ("mx1.example.com",),
        "all": ("*.example.com",),
    }
)


@pytest.mark.parametrize(
    ("hosts", "site"),
    [
        (["aspmx.l.google.com"], "google"),
        (["aspmx.l.google.com", "aspmx2.googlemail.com", "aspmx.example"], "google"),
        (["aspmx.l.google.com", "mx.example.net"], ""),
        (["google.com"], ""),
        (["notgoogle.com"], ""),
        (["mx1.example.com"], "one"),
        (["mx1.example.com", "mx2.example.com"], "all"),
        ([], ""),
    ],
)
def test_sites(hosts: list[str], site: str) -> None:
    assert SITES.site_of(hosts) == site


def test_no_sites() -> None:
    assert Sites({}).site_of(["a.example"]) == ""
