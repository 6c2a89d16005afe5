"""The page of a challenge by HTTP: the answer to a token that is asked for, and nothing else."""

from postroad.desk.challengepages import ChallengePages
from postroad.desk.http import Page
from postroad.net.acme.challenges import Challenges

WHERE = "/.well-known/acme-challenge/"


async def others(path: str) -> Page | None:
    return Page(200, b"metrics", "text/plain") if path == "/metrics" else None


async def test_a_token_has_a_page_while_it_is_asked_for() -> None:
    """RFC 8555 8.3."""
    shown = Challenges()
    alone, beside = ChallengePages(shown.answer), ChallengePages(shown.answer, others)
    shown.show_answer("token", "token.thumbprint")
    for pages in (alone, beside):
        assert await pages(f"{WHERE}token") == Page(200, b"token.thumbprint", "application/octet-stream")
        for path in (WHERE, f"{WHERE}other", f"{WHERE}token/", f"{WHERE}../token", "/token", "/"):
            assert await pages(path) is None
    assert await alone("/metrics") is None
    assert await beside("/metrics") == Page(200, b"metrics", "text/plain")
    shown.clear()
    assert await beside(f"{WHERE}token") is None
