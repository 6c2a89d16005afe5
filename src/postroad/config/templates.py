"""The texts of reports: built-in languages, and the templates of a folder, read and checked.

A template is a file LANGUAGE.toml with some of the texts; what it leaves out is built in, in the same language or in
English. Everything that is wrong with all of them is told at once. RFC 3464 leaves the words to us.
"""

import tomllib
from pathlib import Path

from msgspec import Struct

from postroad.config.describe import value_text
from postroad.config.problem import Problem
from postroad.message.dsntexts import BUILT_IN, ENGLISH, Languages, Texts, read_texts
from postroad.queue.settings import DsnSettings


class Found(Struct, frozen=True):
    """The languages as configured, and what is wrong with them; a broken one is left out."""

    languages: Languages
    problems: list[Problem]


def read_languages(settings: DsnSettings) -> Found:
    """The texts that `settings` ask for; reads its folder."""
    problems: list[Problem] = []
    texts = dict(BUILT_IN)
    if settings.templates:
        _read_folder(Path(settings.templates), texts, problems)
    known = ", ".join(sorted(texts))
    default = texts.get(settings.language)
    if default is None:
        problems.append(Problem(("dsn", "language"), _unknown(settings.language, known)))
    rules: list[tuple[str, Texts]] = []
    for language, patterns in settings.languages.items():
        if language in texts:
            rules += [(pattern, texts[language]) for pattern in patterns]
        else:
            problems.append(Problem(("dsn", "languages", language), _unknown(language, known)))
    return Found(Languages(default or ENGLISH, tuple(rules)), problems)


def _read_folder(folder: Path, texts: dict[str, Texts], problems: list[Problem]) -> None:
    path = ("dsn", "templates")
    if not folder.is_dir():
        problems.append(Problem(path, f"{value_text(str(folder))}: is not a folder"))
        return
    for file in sorted(folder.glob("*.toml")):
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
            texts[file.stem] = read_texts(data, texts.get(file.stem, ENGLISH))
        except (OSError, ValueError) as error:
            problems.append(Problem(path, f"{file.name}: {error}"))
            texts.setdefault(file.stem, ENGLISH)  # so that nothing else is said of it


def _unknown(language: str, known: str) -> str:
    return f"{value_text(language)}: no such language; there are: {known}"
