"""What is imported late: once, and with words for people when a library is missing."""

import sys
from collections.abc import Callable

import pytest

from postroad.model.errors import ConfigError
from postroad.model.late import Late

SPANS = Late[Callable[[], None]]("postroad.observe.otlp", "make_otlp", extra="otel")


def without(library: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == module or name.startswith(f"{library}.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)


def test_it_is_loaded_once() -> None:
    assert SPANS.load() is SPANS.load()


def test_what_is_missing_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    without("opentelemetry", "postroad.observe.otlp", monkeypatch)
    with pytest.raises(ConfigError, match=r'package opentelemetry is not installed: pip install "postroad\[otel\]"'):
        SPANS.load()


def test_a_core_library_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    without("asyncpg", "postroad.store.pgtable", monkeypatch)
    with pytest.raises(ConfigError, match="package asyncpg is not installed: it belongs to every installation"):
        Late[object]("postroad.store.pgtable", "make_postgres").load()


def test_a_module_of_ours_that_is_missing_is_a_bug() -> None:
    with pytest.raises(ImportError):
        Late[object]("postroad.model.nowhere", "x").load()
