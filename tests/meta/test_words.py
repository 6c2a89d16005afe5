"""What must not stand in the project: places of one machine, addresses of package indexes, talk about its making.

Looked for in every file that is or could be committed. The patterns hide one letter in brackets, so that
this file passes its own test.
"""

import re
from typing import Final

import pytest

from tests.meta.source import TOP, expect_none, project_files

FORBIDDEN: Final = tuple(
    (re.compile(pattern), why)
    for pattern, why in (
        (r"(?<![\w.~>}-])/[w]ork/", "a folder of one machine"),
        (r"(?<![\w.])/[r]oot/", "a folder of one machine"),
        (r"(?<![\w.])/[h]ome/\w", "a folder of one machine"),
        (r"/tmp/[t]eam|/[f]arm/|/opt/[p]ypi|\.[p]yenv", "a folder of one machine"),
        (r"(?i)\b[p]ypi\.org|[p]ythonhosted|[n]pmjs|proxy\.[g]olang", "the address of a package index"),
        (r"(?i)--(extra-)?[i]ndex-url|[f]ind-links(?! )", "the address of a package index"),
        (r"(?i)\b([C]laude|[A]nthropic|[C]hatGPT|[O]penAI|[C]opilot)\b", "the name of a tool"),
        (r"\b[L]LMs?\b|(?i:\b[l]anguage models?\b)", "the name of a tool"),
        (r"(?i)\b[A]I[- ](assistant|agent|tool|model|generated)", "the name of a tool"),
        (r"(?i)\b(sub|coding )[a]gents?\b", "talk about the making"),
        (r"(?i)\b(system|user|the|this|my|your) [p]rompt\b|\b[p]rompt engineering", "talk about the making"),
        (r"(?i)\b(work|working|coding|previous|earlier|later) [s]ession of (work|coding)", "talk about the making"),
        (r"(?i)\b[s]essions? of work\b|\b(work|working|coding) [s]essions?\b", "talk about the making"),
        (r"(?i)\bthe (design )?[b]rief\b|\bas (asked|requested) by the [u]ser\b", "talk about the making"),
        (r"(?i)\bshared/[r]esearch\b|\bshared/[d]esign|\b[d]esign\.md\b", "a document outside the project"),
    )
)
BINARY: Final = frozenset({".png", ".ico", ".woff2", ".gz", ".bin", ".eml"})


def problems(name: str, text: str) -> list[str]:
    """Places in `text` where something forbidden stands."""
    return [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match[0]!r} is {why}"
        for pattern, why in FORBIDDEN
        for match in pattern.finditer(text)
    ]


def test_nothing_forbidden_is_said() -> None:
    files = [path for path in project_files() if path.suffix not in BINARY]
    assert any(path.name == "pyproject.toml" for path in files)
    texts = {str(path.relative_to(TOP)): path.read_text(encoding="utf-8", errors="replace") for path in files}
    expect_none(problem for name, text in texts.items() for problem in problems(name, f"{name}\n{text}"))


def test_locks_name_no_address() -> None:
    locks = [*(TOP / "requirements").glob("*.lock"), *(TOP / "tests").rglob("package-lock.json")]
    locks = [path for path in locks if "node_modules" not in path.parts]
    assert len(locks) >= 2
    expect_none(f"{path.name} names an address" for path in locks if re.search(r"://|@ file:", path.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "cd /w@ork/main",
        "see /r@oot/x",
        "in /tmp/t@eam",
        "/h@ome/somebody",
        "https://py@pi.org/simple",
        "registry.npm@js.org",
        "pip --in@dex-url",
        "as Clau@de said",
        "an LL@M",
        "an A@I assistant",
        "an A@I-generated file",
        "the pro@mpt asks",
        "in this session of @work",
        "the br@ief says",
        "see des@ign.md",
    ],
)
def test_forbidden_words_are_found(text: str) -> None:
    assert problems("sample", text.replace("@", ""))


@pytest.mark.parametrize(
    "text",
    [
        "one SMTP session, many sessions per IP",
        "answers promptly; typer.prompt",
        "tests/work/x and {folder}/work/x",
        "the mail transfer agent",
        "/var/spool/postroad /tmp/x",
        "a brief outage",
    ],
)
def test_mail_words_are_free(text: str) -> None:
    assert problems("sample", text) == []
