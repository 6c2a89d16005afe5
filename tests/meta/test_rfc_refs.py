"""References to RFCs have one form, "RFC 5321 4.5.3.1.6", and each RFC is in the index with what we make of it.

The index is docs/internals/rfc.toml: what it calls implemented is cited in the source, and what the
source cites is there.
"""

import re
import tomllib
from typing import Final

import pytest

from tests.meta.source import TOP, Module, excerpt, expect_none

INDEX: Final = TOP / "docs/internals/rfc.toml"
STATUSES: Final = frozenset({"yes", "partial", "no", "background"})

# Anything that looks like a reference ...
MENTION: Final = re.compile(r"(?<![\w/])RFCs?[ \t_-]*(?:\n[ \t#]*)?\d[^\s]*(?:[ \t]+[^\s]+)?")
# ... and what it must look like: a number, then at most a section.
REFERENCE: Final = re.compile(r"RFC\s(?:[ \t#]*)(?P<number>[1-9]\d{2,4})(?=[\s).,;:\"'`*\]]|$)")
UNWANTED: Final = re.compile(r"RFC\s+\d+,?\s+(?:section|sec\.|s\.|§|appendix(?! [A-Z]\b))", re.IGNORECASE)
SECTION: Final = re.compile(r"RFC\s+\d+ (?P<section>\d[\w.]*)")
SECTION_FORM: Final = re.compile(r"\d+(?:\.\d+)*\.?$")


def cited(module: Module) -> set[int]:
    """The numbers of all RFCs that a module refers to."""
    return {int(match["number"]) for match in REFERENCE.finditer(module.text)}


def form_problems(module: Module) -> list[str]:
    """References that are not written as the house writes them."""
    found = []
    for match in MENTION.finditer(module.text):
        reference = match[0]
        section = SECTION.match(reference)
        if (
            not REFERENCE.match(module.text, match.start())
            or UNWANTED.match(module.text, match.start())
            or (section and not SECTION_FORM.match(section["section"].rstrip(").,;:\"'`")))
        ):
            line = module.text.count("\n", 0, match.start()) + 1
            found.append(f'{module.path}:{line}: {" ".join(reference.split())!r}, wanted "RFC 5321 4.5.3.1.6"')
    return found


def index_problems(index: dict[str, dict[str, str]], modules: list[Module]) -> list[str]:
    """Rows of the index that are wrong, RFCs that are cited but not in it, and implemented ones that nothing cites."""
    numbers = {number for module in modules for number in cited(module)}
    found = [f"RFC {number} is cited and not in {INDEX.name}" for number in sorted(numbers) if str(number) not in index]
    for number, row in index.items():
        if not number.isdigit() or not row.keys() <= {"title", "status", "note"} or not row.get("title"):
            found.append(f"RFC {number}: a row has a title, a status and perhaps a note")
        if row.get("status") not in STATUSES:
            found.append(f"RFC {number}: status is one of {', '.join(sorted(STATUSES))}")
        if row.get("status") == "partial" and not row.get("note"):
            found.append(f"RFC {number}: a partial one says in its note what is missing")
        if row.get("status") in {"yes", "partial"} and int(number) not in numbers:
            found.append(f"RFC {number} is called implemented and cited nowhere in src")
        if row.get("status") == "no" and int(number) in numbers:
            found.append(f"RFC {number} is cited in src and called not implemented")
    return found


def test_references_are_well_formed(src: list[Module], suite: list[Module]) -> None:
    own = "tests/meta/test_rfc_refs.py"  # has the bad samples
    expect_none(problem for module in src + suite if module.path != own for problem in form_problems(module))


def test_index_and_source_agree(src: list[Module]) -> None:
    index = tomllib.loads(INDEX.read_text(encoding="utf-8"))
    assert "5321" in index
    expect_none(index_problems(index, src))


@pytest.mark.parametrize(
    "text",
    [
        "# RFC5321 4.5.3",
        "# RFC-5321",
        "# RFC 5321 section 4.5",
        "# RFC 5321, section 4.5",
        "# RFC 5321 §4.5",
        "# RFC 5321#4.5",
        "# RFC 5321bis",
        "# RFC 53211111",
        "# RFC 5321 4.5a",
        "# RFC 5321 4..5",
        "# RFCs 5321 and 5322",
        '"RFC_5321"',
    ],
)
def test_a_bad_reference_is_found(text: str) -> None:
    assert len(form_problems(excerpt(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "# RFC 5321",
        "# RFC 5321.",
        "# (RFC 5321 4.5.3.1.6), and RFC 821 4",
        "# RFC 5321 4.1.1.1 and 4.1.1.4; RFC 3461 4.",
        "# RFC 5321 appendix C",
        "# as RFC\n# 5321 4.5 has it",
        "# RFC 5321 allows it, RFC 2920 does not",
        '"RFC 5321"',
        '"message/rfc822; rfc822-headers; [RFC-ignorant]"',
    ],
)
def test_a_good_reference_is_free(text: str) -> None:
    assert form_problems(excerpt(text)) == []


def test_references_are_read() -> None:
    assert cited(excerpt("# RFC 5321 4.5 and RFC 3461 4.1, RFC\n# 6531 3")) == {5321, 3461, 6531}


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (None, "# RFC 5321 4"),
        ({"title": "SMTP", "status": "yes"}, ""),
        ({"title": "SMTP", "status": "no"}, "# RFC 5321 4"),
        ({"title": "SMTP", "status": "perhaps"}, "# RFC 5321 4"),
        ({"title": "SMTP", "status": "partial"}, "# RFC 5321 4"),
        ({"status": "yes"}, "# RFC 5321 4"),
        ({"title": "SMTP", "status": "yes", "colour": "red"}, "# RFC 5321 4"),
    ],
)
def test_a_wrong_index_is_found(row: dict[str, str] | None, text: str) -> None:
    assert len(index_problems({"5321": row} if row else {}, [excerpt(text)])) == 1
