"""The source tree, read once for all tests of the house rules."""

import pytest

from tests.meta.source import SRC, TOP, Module, modules


@pytest.fixture(scope="session")
def src() -> list[Module]:
    """Every module of the package; never empty, so that no rule passes for want of code."""
    found = modules(SRC, SRC)
    assert found
    return found


@pytest.fixture(scope="session")
def suite() -> list[Module]:
    """Every module of the tests and tools."""
    found = modules(TOP / "tests", TOP) + modules(TOP / "tools", TOP)
    assert found
    return found
