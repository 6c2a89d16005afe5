"""SMTP replies as values: three digits, an enhanced code, lines of text.

The same type holds what we say (catalogued in smtp/replies.py) and what a remote server said
(kept verbatim). RFC 5321 4.2 (form), RFC 3463 2 and RFC 2034 4 (enhanced codes).
"""

from msgspec import Struct


class Reply(Struct, frozen=True, gc=False, omit_defaults=True, cache_hash=True):
    """One reply: `code` 200-599, `enhanced` "x.y.z" or "" where none is given, `text` with lines parted by LF."""

    code: int
    enhanced: str = ""
    text: str = ""

    @property
    def is_positive(self) -> bool:
        """True for 2xx and 3xx (RFC 5321 4.2.1)."""
        return self.code < 400

    @property
    def is_transient(self) -> bool:
        """True for 4xx: the same command may succeed later (RFC 5321 4.2.1)."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """True for 5xx: repeating the same command is pointless (RFC 5321 4.2.1)."""
        return self.code >= 500

    def encode(self) -> bytes:
        """The reply as sent, each line repeating code and enhanced code (RFC 5321 4.2.1, RFC 2034 4)."""
        head = f"{self.code} {self.enhanced} " if self.enhanced else f"{self.code} "
        if "\n" not in self.text:
            return f"{head}{self.text}\r\n".encode()
        lines = self.text.split("\n")
        more = head.replace(" ", "-", 1)
        return ("".join(f"{more}{line}\r\n" for line in lines[:-1]) + f"{head}{lines[-1]}\r\n").encode()

    def __str__(self) -> str:
        """One line for logs: `550 5.1.1 text`, lines joined by a space."""
        head = f"{self.code} {self.enhanced}" if self.enhanced else str(self.code)
        return f"{head} {self.text.replace(chr(10), ' ')}".rstrip()
