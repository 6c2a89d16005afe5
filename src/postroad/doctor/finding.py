"""What the doctor found, as values: each with its mend (*pure*).

A finding is about one thing. What is well is told too, so that it is seen what was looked at; what could not be looked
at is no finding that all is well.
"""

from collections.abc import Iterable
from enum import Enum

from msgspec import Struct


class Level(Enum):
    """How bad it is, the worst last."""

    OK = "ok"
    UNKNOWN = "unknown"  # it could not be looked at
    WARNING = "warning"  # mail flows, but not as well as it should
    PROBLEM = "problem"  # mail does not flow, or is not safe


class Finding(Struct, frozen=True):
    """Of the check `about`: `what` was found, and how it is mended, "" where nothing is to be mended."""

    about: str
    level: Level
    what: str
    mend: str = ""


def ok(about: str, what: str) -> Finding:
    """All is well."""
    return Finding(about, Level.OK, what)


def unknown(about: str, what: str, mend: str = "") -> Finding:
    """It could not be looked at."""
    return Finding(about, Level.UNKNOWN, what, mend)


def warning(about: str, what: str, mend: str) -> Finding:
    """Mail flows, but not as well as it should."""
    return Finding(about, Level.WARNING, what, mend)


def problem(about: str, what: str, mend: str) -> Finding:
    """Mail does not flow, or is not safe."""
    return Finding(about, Level.PROBLEM, what, mend)


def count(findings: Iterable[Finding], level: Level) -> int:
    """How many are of `level`."""
    return sum(finding.level is level for finding in findings)
