"""Documentation is checked like code: reference pages are what the code says, and nothing is undocumented.

The configuration samples in all pages are loaded, and the commands they show exist.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from pydantic import BaseModel

from postroad.cli.document import commands, pages
from postroad.config.builtins import BUILT_INS
from postroad.config.document import all_records
from postroad.config.load import inspect_config
from postroad.config.mistakes import model_of
from postroad.config.ownpolicies import find
from postroad.config.policies import SERVICES
from postroad.config.policiespage import built_in_policies, policy_docstrings
from postroad.config.schema import Config
from postroad.model.reply import Reply
from postroad.policy.bind import declaration_of
from postroad.smtp import replies
from tests.meta.source import TOP, expect_none

DOCS: Final = TOP / "docs"
WRITTEN: Final = sorted([TOP / "README.md", *DOCS.rglob("*.md")])
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND: Final = re.compile(r"\bpostroad ((?:[a-z]+(?:-[a-z]+)* ?)+)")
SENTENCE_ENDS: Final = (".", ")")


def options(model: type[BaseModel], path: str = "") -> list[tuple[str, str]]:
    """Every option below `model` as (path, sentence)."""
    found = []
    for name, field in model.model_fields.items():
        found.append((f"{path}{name}", field.description or ""))
        if inner := model_of(field):
            found += options(inner, f"{path}{name}.")
    return found


@pytest.mark.parametrize("name", sorted(pages()))
def test_a_reference_page_is_what_the_code_says(name: str) -> None:
    written = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert written == pages()[name], f"docs/reference/{name} is old: run `make docs`"


def test_no_other_reference_pages() -> None:
    assert {path.name for path in (DOCS / "reference").glob("*.md")} - {"index.md"} == set(pages())


def test_every_option_has_a_sentence() -> None:
    found = options(Config)
    assert len(found) > 50
    expect_none(f"{path}: {text!r} is no sentence" for path, text in found if not text.endswith(SENTENCE_ENDS))


def test_every_record_has_a_sentence() -> None:
    found = all_records()
    assert len(found) > 15
    expect_none(
        f"{record.__name__} has no docstring" for record in found if not (record.__doc__ or "").strip().endswith(".")
    )


def test_every_reply_is_catalogued() -> None:
    catalogued = {name for name, _, _ in replies.CATALOGUE}
    named = {name for name, value in vars(replies).items() if isinstance(value, Reply)}
    made = {
        name
        for name, value in vars(replies).items()
        if callable(value) and getattr(value, "__annotations__", {}).get("return") is Reply
    }
    assert named | made == catalogued
    expect_none(f"{name}: no sentence" for name, _, meaning in replies.CATALOGUE if not meaning.endswith(SENTENCE_ENDS))


def test_every_policy_has_a_docstring() -> None:
    found = policy_docstrings()
    assert found
    expect_none(f"policies/{name}.py has no docstring" for name, text in found if not text)


def test_every_policy_asked_for_by_name_is_listed_and_has_sentences() -> None:
    """Whatever file has a `POLICY` can be asked for by its name, and all that can be set is told."""
    files = (TOP / "src/postroad/policies").glob("[a-z]*.py")
    assert {file.stem for file in files if "\nPOLICY: Final[BuiltIn] = " in file.read_text()} == set(BUILT_INS)
    for name, declaration in built_in_policies():
        assert declaration.name == name
        assert declaration.text.endswith(SENTENCE_ENDS), name
        expect_none(
            f"{name}.{path}: {text!r} is no sentence"
            for path, text in options(declaration.options)
            if not text.endswith(SENTENCE_ENDS)
        )


def test_every_command_has_a_sentence_and_an_example() -> None:
    found = list(commands())
    assert len(found) > 5
    for name, context in found:
        text = context.command.help or ""
        assert f"Example: {name}" in text, name
        for parameter in context.command.get_params(context):
            record = parameter.get_help_record(context)
            if getattr(parameter, "param_type_name", "") == "option":
                assert record is not None, f"{name}: {parameter.name}"
                assert record[1].rstrip("]").rstrip(), f"{name}: {parameter.name} has no sentence"


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_samples_of_configuration_are_valid(page: Path, tmp_path: Path) -> None:
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    write_modules(blocks, tmp_path)
    for number, (language, text) in enumerate(blocks):
        if language == "toml":
            file = tmp_path / f"{number}.toml"
            listeners = (
                "" if "[listeners" in text or "listeners." in text else '\n[listeners.sample]\nbind = ["127.0.0.1:0"]'
            )
            file.write_text(text + listeners)
            loaded = inspect_config(file)
            assert loaded.lines(loaded.problems) == []


def write_modules(blocks: list[tuple[str, str]], folder: Path) -> list[Path]:
    """Samples in Python whose first line names their file, as files."""
    written = []
    for language, text in blocks:
        name = text.partition("\n")[0].removeprefix("# ")
        if language == "python" and name.endswith(".py"):
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
            written.append(file)
    return written


def test_samples_of_policies_work(tmp_path: Path) -> None:
    page = DOCS / "howto/write-a-policy.md"
    files = write_modules(BLOCK.findall(page.read_text(encoding="utf-8")), tmp_path)
    tests = [file for file in files if file.parent == tmp_path]
    assert len(tests) == 1
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(tests[0]),
    ]
    environment = {**os.environ, "PYTHONPATH": "policies", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    for file in files:
        if file not in tests:
            (function,) = re.findall(r"^(?:async )?def (\w+)\(ctx: ", file.read_text(), re.MULTILINE)
            found = find(f"{file.stem}:{function}", tmp_path / "policies")
            assert declaration_of(found, SERVICES).text.endswith(SENTENCE_ENDS)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(TOP)))
def test_commands_in_samples_exist(page: Path) -> None:
    known = {name.removeprefix("postroad ") for name, _ in commands()}
    for language, text in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "sh":
            for words in COMMAND.findall(text):
                assert any(f"{words} ".startswith(f"{name} ") for name in known), f"postroad {words}"
