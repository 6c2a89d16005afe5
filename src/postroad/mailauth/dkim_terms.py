"""How signatures are made: which fields they cover, in which form, and for how long they are good.

Apart from the signing itself, so that the configuration can name all of it without loading what makes keys work.
RFC 6376 5.4 (what to sign), RFC 6376 3.5 (the tags).
"""

from typing import Final

from msgspec import Struct

# RFC 6376 5.4.1 and what is of its kind: what people and programs read. Trace fields and those that lists and relays
# rewrite are not among them.
SIGNED_FIELDS: Final = (
    *("From", "Reply-To", "Subject", "Date", "To", "Cc", "Message-ID", "In-Reply-To", "References"),
    *("Sender", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID"),
    *("Resent-From", "Resent-Sender", "Resent-To", "Resent-Cc", "Resent-Date", "Resent-Message-ID"),
    *("List-Id", "List-Help", "List-Unsubscribe", "List-Unsubscribe-Post", "List-Subscribe", "List-Post"),
    *("List-Owner", "List-Archive", "TLS-Required", "Feedback-ID", "Auto-Submitted"),
)
OVERSIGNED_FIELDS: Final = ("From", "Reply-To", "Subject", "Date", "To", "Cc", "Message-ID", "Content-Type")


class SigningTerms(Struct, frozen=True):
    """How signatures are made: which fields, in which canonicalisation, and for how long they are good."""

    signed: tuple[str, ...] = SIGNED_FIELDS
    oversigned: tuple[str, ...] = OVERSIGNED_FIELDS
    relaxed_header: bool = True
    relaxed_body: bool = True
    expire_after: int = 0  # seconds; 0: never
    has_time: bool = True  # t=
    identity: str = ""  # i=, within the domain of the key; "": the domain itself, unsaid

    @property
    def canonical(self) -> str:
        """The tag c=."""
        return f"{_form(is_relaxed=self.relaxed_header)}/{_form(is_relaxed=self.relaxed_body)}"


def _form(*, is_relaxed: bool) -> str:
    return "relaxed" if is_relaxed else "simple"
