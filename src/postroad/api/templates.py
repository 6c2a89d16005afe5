"""Templates of mail: `NAME.subject`, `NAME.text` and `NAME.html` of one folder, filled in by Jinja2's sandbox.

Invariant: filling in ends, and its result is small, whatever a client puts into variables: each line of a template that
runs is counted, each piece of output too, and nothing that makes long texts out of short ones is there. Counting is
local to the thread that fills in and costs nobody else anything. Text in HTML is escaped.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType
from typing import Any, Final

import jinja2
import msgspec
from jinja2.filters import sync_do_join
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from postroad.api.compose import Texts
from postroad.api.problem import ApiError, invalid
from postroad.api.schema import Message

STEPS: Final = 200_000  # lines of Python that filling in one message may run
OUTPUT: Final = 4 << 20  # characters of one of its texts
VARIABLES: Final = 64 << 10  # octets of JSON of all variables of one message
KINDS: Final = ("subject", "text", "html")
# Filters whose result is not much longer than what goes in, and which read nothing from outside.
FILTERS: Final = frozenset(
    [
        "abs",
        "capitalize",
        "count",
        "d",
        "default",
        "dictsort",
        "e",
        "escape",
        "filesizeformat",
        "first",
        "float",
        "forceescape",
        "groupby",
        "int",
        "items",
        "last",
        "length",
        "list",
        "lower",
        "map",
        "max",
        "min",
        "reject",
        "rejectattr",
        "reverse",
        "round",
        "select",
        "selectattr",
        "sort",
        "string",
        "striptags",
        "sum",
        "title",
        "trim",
        "truncate",
        "unique",
        "upper",
        "urlencode",
        "wordcount",
    ]
)
_METHODS: Final = frozenset(
    {"items", "keys", "values", "get", "upper", "lower", "title", "strip", "startswith", "endswith"}
)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, narrowed."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(
        self,
        context: object,  # noqa: ARG002  as Jinja2 calls it
        operator: str,
        left: object,
        right: object,
    ) -> object:
        """Numbers alone are multiplied, and only small ones raised."""
        if not isinstance(left, int | float) or not isinstance(right, int | float):
            raise jinja2.exceptions.SecurityError(f"{operator} is for numbers alone")
        if operator == "**" and (abs(left) > 1000 or abs(right) > 10):
            raise jinja2.exceptions.SecurityError("the power is too large")
        if max(abs(left), abs(right)) > 1 << 256:
            raise jinja2.exceptions.SecurityError("the number is too large")
        return self.binop_table[operator](left, right)

    def wrap_str_format(self, value: object) -> None:
        """Formats can ask for any width: nobody has `format`."""

    def is_safe_attribute(self, obj: object, attr: str, value: object) -> bool:
        """Methods that read, of texts and tables; the loop's own."""
        if isinstance(obj, str | Mapping | list | int | float):
            return attr in _METHODS
        return super().is_safe_attribute(obj, attr, value)


@jinja2.pass_eval_context
def _join(context: EvalContext, value: Iterable[object], between: str = "", attribute: str | None = None) -> str:
    """Jinja2's own, for what does not become too long."""
    items = list(value)
    if len(items) * len(between) > OUTPUT:
        raise jinja2.exceptions.SecurityError("what is joined becomes too long")
    return sync_do_join(context, items, between, attribute)


class Templates:
    """The templates of one folder."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        """`sources` are texts by file name; `flaws` tells what is wrong with them."""
        environment = _Sandbox(
            loader=jinja2.DictLoader(sources),
            auto_reload=False,
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=jinja2.StrictUndefined,
            cache_size=len(sources) + 1,
            keep_trailing_newline=True,
        )
        kept = {name: call for name, call in environment.filters.items() if name in FILTERS}
        environment.filters = {**kept, "join": _join}
        environment.globals = {"range": environment.globals["range"]}
        self._environment = environment
        self.flaws = tuple(_flaws(environment, sources))
        self._names = frozenset(name.rpartition(".")[0] for name in sources)
        self._sources = frozenset(sources)

    def fill(self, message: Message) -> Texts:
        """What the template of `message` says with its variables; for a thread of its own."""
        name = message.template
        found = {kind: f"{name}.{kind}" for kind in KINDS if f"{name}.{kind}" in self._sources}
        if not found or ("subject" not in found and message.subject is None):
            raise invalid("/template", "there is no such template, or it has no subject")
        if sum(len(key) + len(raw) for key, raw in message.variables.items()) > VARIABLES:
            raise invalid("/variables", f"more than {VARIABLES} octets")
        try:
            values = {key: msgspec.json.decode(raw) for key, raw in message.variables.items()}
            texts = {kind: self._fill(file, values) for kind, file in found.items()}
        except (msgspec.MsgspecError, RecursionError) as error:
            raise invalid("/variables", f"cannot be read: {error}") from None
        subject = " ".join(texts["subject"].split()) if "subject" in texts else ""
        return Texts(
            subject if message.subject is None else message.subject,
            texts.get("text") if message.text is None else message.text,
            texts.get("html") if message.html is None else message.html,
        )

    def _fill(self, file: str, values: Mapping[str, object]) -> str:
        pieces: list[str] = []
        size = 0
        meter = _Meter()
        before = sys.gettrace()
        try:
            template = self._environment.get_template(file)
            sys.settrace(meter.enter)
            for piece in template.generate(values):
                size += len(piece)
                if size > OUTPUT:
                    raise ApiError(invalid("/variables", f"{file} becomes longer than {OUTPUT} characters").problem)
                pieces.append(piece)
        except ApiError:
            raise
        except Exception as error:  # noqa: BLE001  a template is a program: whatever it raises is its own
            raise invalid("/variables", f"{file} cannot be filled in: {_words(error)}") from None
        finally:
            sys.settrace(before)
        return "".join(pieces)


class _Meter:
    """Counts lines that run in the frames below the one that filling in began with."""

    def __init__(self) -> None:
        self._left = STEPS

    def enter(self, _frame: FrameType, _event: str, _argument: object) -> Any:
        """A function is called."""
        self._count()
        return self.step

    def step(self, _frame: FrameType, _event: str, _argument: object) -> Any:
        """A line runs."""
        self._count()
        return self.step

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooLongError


class _TooLongError(Exception):
    """The template runs for too long."""

    def __str__(self) -> str:
        return f"it runs for more than {STEPS} steps"


def _words(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def _flaws(environment: jinja2.Environment, sources: Mapping[str, str]) -> Iterator[str]:
    for name in sources:
        try:
            environment.get_template(name)
        except jinja2.TemplateSyntaxError as error:
            yield f"{name}:{error.lineno}: {error.message}"
        except jinja2.TemplateError as error:
            yield f"{name}: {error}"
