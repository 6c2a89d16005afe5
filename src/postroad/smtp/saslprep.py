"""SASLprep: logins and passwords in the one form in which they are compared (RFC 4013). Pure.

What it forbids stays as it is: such a password was never prepared when its hash was made by something else either, and
a client that does not prepare must not be locked out. Control characters are for the caller to refuse.
"""

import stringprep
import unicodedata
from typing import Final

_FORBIDDEN: Final = (  # RFC 4013 2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def prepare(text: str) -> str:
    """`text` as RFC 4013 prepares it, or as it is when that forbids a character in it."""
    if text.isascii():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(char) else char for char in text if not stringprep.in_table_b1(char)
    )
    prepared = unicodedata.ucd_3_2_0.normalize("NFKC", mapped)
    if any(table(char) for char in prepared for table in _FORBIDDEN) or _is_mixed(prepared):
        return text
    return prepared


def _is_mixed(text: str) -> bool:
    """True when letters that run to the right and to the left are mixed in a way that is forbidden (RFC 3454 6)."""
    if not any(map(stringprep.in_table_d1, text)):
        return False
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return not ends or any(map(stringprep.in_table_d2, text))
