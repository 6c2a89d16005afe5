"""What is shown to a CA while it looks whether names are ours: put here by who orders, read by who answers.

It is empty but while an order is under way. The thread that orders writes, the event loop reads: each step is one
operation of a dictionary. RFC 8555 8.3 (http-01), RFC 8737 3 (tls-alpn-01).
"""

from ssl import SSLContext
from typing import Final

ALPN: Final = "acme-tls/1"


class Challenges:
    """Answers by token, and contexts by name."""

    def __init__(self) -> None:
        """Nothing is asked."""
        self._answers: dict[str, str] = {}
        self._contexts: dict[str, SSLContext] = {}

    def answer(self, token: str) -> str:
        """What stands at `token`, "" when there is nothing."""
        return self._answers.get(token, "")

    def context(self, name: str) -> SSLContext | None:
        """What proves that `name` is ours; None when nobody is to ask."""
        return self._contexts.get(name)

    def show_answer(self, token: str, answer: str) -> None:
        """Let `answer` stand at `token`."""
        self._answers[token] = answer

    def show_context(self, name: str, context: SSLContext) -> None:
        """Let `name` be proven by `context`."""
        self._contexts[name] = context

    def clear(self) -> None:
        """Show nothing any more."""
        self._answers.clear()
        self._contexts.clear()
