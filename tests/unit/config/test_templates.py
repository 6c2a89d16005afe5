"""Templates of reports: read from a folder, checked with the rest of the configuration."""

from pathlib import Path

from postroad.config.load import inspect_config
from postroad.config.templates import read_languages
from postroad.queue.settings import DsnSettings

LISTENER = 'listeners.mx.bind = ["127.0.0.1:2525"]\nhostname = "relay.example.com"\n'


def written(folder: Path, dsn: str, **templates: str) -> Path:
    (folder / "dsn").mkdir()
    for name, text in templates.items():
        (folder / "dsn" / f"{name}.toml").write_text(text, encoding="utf-8")
    file = folder / "postroad.toml"
    file.write_text(f"{LISTENER}[dsn]\n{dsn}\n", encoding="utf-8")
    return file


def test_a_folder_beside_the_configuration_adds_a_language(tmp_path: Path) -> None:
    dsn = 'templates = "dsn"\nlanguages = { fr = ["*.fr"], de = ["example.at"] }'
    loaded = inspect_config(written(tmp_path, dsn, fr='subject_failed = "Message non distribué"'))
    assert loaded.lines(loaded.problems) == []
    assert loaded.config is not None
    languages = read_languages(loaded.config.dsn).languages
    assert languages.texts_for("x.fr").subject_failed == "Message non distribué"
    assert languages.texts_for("x.fr").subject_delayed == "Delayed Mail (still being retried)"
    assert languages.texts_for("example.at").subject_failed.startswith("Unzustellbare")


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    dsn = 'templates = "dsn"\nlanguage = "xx"\nlanguages = { eo = ["*"], fr = ["*"] }'
    loaded = inspect_config(written(tmp_path, dsn, fr='greeting = "{x}"', it="= 5"))
    lines = loaded.lines(loaded.problems)
    assert loaded.config is None
    assert [line.partition("postroad.toml:")[2] for line in lines] == [
        '4: dsn.templates: fr.toml: greeting: "{x}" is no placeholder of this text; there are: {hostname}',
        "4: dsn.templates: it.toml: Invalid statement (at line 1, column 1)",
        '5: dsn.language: "xx": no such language; there are: de, en, fr, it',
        '6: dsn.languages.eo: "eo": no such language; there are: de, en, fr, it',
    ]


def test_a_folder_that_is_not_there_is_a_problem() -> None:
    (problem,) = read_languages(DsnSettings(templates="/nonexistent")).problems
    assert problem.text == '"/nonexistent": is not a folder'
