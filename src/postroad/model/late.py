"""Modules of ours that are imported once a configuration asks for them, not by everybody at the start.

They are those that need a large or an optional library: each imports it at its top like any other, and nobody imports
them but through a `Late`, a typed constant that names module and value. It is loaded when the configuration is looked
at, in a thread when that is a reload: never on a message's way. tests/meta/test_late.py holds both ends together.
"""

from importlib import import_module
from typing import Generic, TypeVar

from postroad.model.errors import ConfigError

T = TypeVar("T")


class Late(Generic[T]):
    """The value `name` of `module`, of the type T; `extra` is what has to be installed for it."""

    __slots__ = ("extra", "module", "name")

    def __init__(self, module: str, name: str, *, extra: str = "") -> None:
        """Nothing is imported yet."""
        self.module = module
        self.name = name
        self.extra = extra

    def load(self) -> T:
        """The value, after an import if it is the first time; ConfigError names what is not installed."""
        try:
            module = import_module(self.module)
        except ImportError as error:
            missing = (error.name or "").partition(".")[0]
            if missing in {"", "postroad"}:
                raise  # a bug of ours
            remedy = f'pip install "postroad[{self.extra}]"' if self.extra else "it belongs to every installation"
            raise ConfigError([f"the Python package {missing} is not installed: {remedy}"]) from error
        value: T = getattr(module, self.name)
        return value
