"""What mkdocs does not do by itself: the navigation from the folders, and the page of RFCs.

Each section's pages stand in order of their file names, its index first, so that a new page needs no
entry anywhere. The RFC page joins docs/internals/rfc.toml with the places in the source that cite each RFC.
"""

import re
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

SECTIONS: Final = (
    ("Tutorial", "tutorial/"),
    ("How-to guides", "howto/"),
    ("Reference", "reference/"),
    ("Internals", "internals/"),
    ("Decisions", "decisions/"),
)
WORDS: Final = (("yes", "Yes"), ("partial", "Partial"), ("no", "No"), ("background", "Background"))
REFERENCE: Final = re.compile(r"RFC\s(?:[ \t#]*)([1-9]\d{2,4})\b")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page of RFCs, then lay out the navigation."""
    files.append(File.generated(config, "internals/rfc.md", content=rfc_page(Path(config.config_file_path).parent)))
    config.nav = [{"Home": "index.md"}, *({title: section(files, folder)} for title, folder in SECTIONS)]
    return files


def section(files: Files, folder: str) -> list[str]:
    """The pages of one folder, its index first."""
    pages = [file.src_uri for file in files.documentation_pages() if file.src_uri.startswith(folder)]
    return sorted(pages, key=lambda page: (not page.endswith("/index.md"), page))


def rfc_page(top: Path) -> str:
    """Every RFC of the index: title, what is made of it, and the files that cite it."""
    index = tomllib.loads((top / "docs/internals/rfc.toml").read_text(encoding="utf-8"))
    places = citations(top / "src")
    parts = ["# RFCs", "Each RFC that concerns a relay, what Postroad makes of it, and which files cite it."]
    for status, word in WORDS:
        rows = ["| RFC | Title | Cited in |", "|---|---|---|"]
        for number, row in sorted(index.items(), key=lambda item: int(item[0])):
            if row["status"] == status:
                title = f"{row['title']}: {row['note']}" if "note" in row else row["title"]
                link = f"[{number}](https://www.rfc-editor.org/rfc/rfc{number})"
                cited = ", ".join(f"`{place}`" for place in places[int(number)])
                rows.append(f"| {link} | {title} | {cited} |")
        parts += [f"## {word}", "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def citations(src: Path) -> defaultdict[int, list[str]]:
    """The files that cite each RFC, without the suffix."""
    found: defaultdict[int, list[str]] = defaultdict(list)
    for path in sorted(src.rglob("*.py")):
        name = str(path.relative_to(src / "postroad").with_suffix(""))
        for number in sorted({int(match[1]) for match in REFERENCE.finditer(path.read_text(encoding="utf-8"))}):
            found[number].append(name)
    return found
