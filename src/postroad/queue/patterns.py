"""Patterns of rules, matched in linear time: domains, host names, texts with "*".

A domain pattern is a domain, "*.domain" (any depth below) or "*". In other patterns "*" stands for any text, also
in several places; case never counts. No regular expressions, so that no text makes a pattern slow. Pure.
"""

from collections.abc import Sequence


def matches_domain(patterns: Sequence[str], domain: str) -> bool:
    """True when one of `patterns` (lower case) covers `domain`."""
    for pattern in patterns:
        if pattern in ("*", domain) or (pattern.startswith("*.") and domain.endswith(pattern[1:])):
            return True
    return False


def matches_text(pattern: str, text: str) -> bool:
    """True when `pattern` (case-folded) covers the whole of `text`."""
    text = text.casefold()
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if not (text.startswith(first) and text.endswith(last)) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def matches_any(patterns: Sequence[str], texts: Sequence[str]) -> bool:
    """True when one of `patterns` covers one of `texts`."""
    return any(matches_text(pattern, text) for pattern in patterns for text in texts)
