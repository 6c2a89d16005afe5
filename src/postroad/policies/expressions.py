"""Regular expressions of rules, by an engine whose time grows with the text alone (google-re2): no text can stall it.

Letters are compared without regard to case; an expression may stand anywhere in the text unless it says where.
"""

from typing import Final

import re2

from postroad.policy.globs import Compile, Test

MEMORY: Final = 8 << 20  # octets that one expression may need


def _compile(text: str) -> Test:
    """The test of one expression; ValueError tells what is wrong with it."""
    options = re2.Options()
    options.case_sensitive = False
    options.log_errors = False
    options.max_mem = MEMORY
    try:
        search = re2.compile(text, options=options).search
    except re2.error as error:
        said = error.args[0] if error.args else error
        words = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise ValueError(f"/{text}/ cannot be compiled: {words}") from None
    return lambda value: search(value) is not None


compile_expression: Final[Compile] = _compile
