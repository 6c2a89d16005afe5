"""No state at module level: what changes lives in an object that somebody made and handed over.

A table is a tuple, a frozenset or a MappingProxyType. A memo of a pure function must be bounded.
"""

import ast
from typing import Final

import pytest

from tests.meta.source import Module, dotted, excerpt, expect_none, functions

MUTABLE_CALLS: Final = frozenset(
    {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict", "ChainMap"}
    | {"WeakKeyDictionary", "WeakValueDictionary", "WeakSet", "ContextVar", "local", "count", "cycle"}
    | {"Lock", "RLock", "Event", "Condition", "Semaphore", "Queue", "SimpleQueue", "LifoQueue", "PriorityQueue"}
)
MUTABLE_DISPLAYS: Final = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp, ast.GeneratorExp)


def is_mutable(value: ast.expr | None) -> bool:
    """True for what can be changed in place, also inside a tuple."""
    if isinstance(value, ast.Tuple):
        return any(is_mutable(element) for element in value.elts)
    if isinstance(value, ast.Call):
        return dotted(value.func).rpartition(".")[2] in MUTABLE_CALLS
    return isinstance(value, MUTABLE_DISPLAYS)


def problems(module: Module) -> list[str]:
    """Mutable values at module level (under if, try and with too), `global`, and unbounded memos."""
    found = []
    blocks: list[ast.AST] = [module.tree]
    while blocks:
        block = blocks.pop()
        for node in ast.iter_child_nodes(block):
            if isinstance(node, ast.Assign | ast.AnnAssign) and is_mutable(node.value):
                names = node.targets if isinstance(node, ast.Assign) else [node.target]
                if dotted(names[0]) != "__all__":
                    found.append(f"{module.path}:{node.lineno}: {ast.unparse(names[0])} can be changed by anyone")
            elif isinstance(node, ast.AugAssign):
                found.append(f"{module.path}:{node.lineno}: {ast.unparse(node.target)} changes at module level")
            elif isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While | ast.ExceptHandler):
                blocks.append(node)
    found += [
        f"{module.path}:{node.lineno}: global {', '.join(node.names)}"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
    ]
    return found + [
        f"{module.path}:{function.lineno}: the memo of {function.name} has no bound"
        for function in functions(module.tree)
        for decorator in function.decorator_list
        if is_unbounded_memo(decorator)
    ]


def is_unbounded_memo(decorator: ast.expr) -> bool:
    """True for @cache and for @lru_cache(maxsize=None)."""
    if isinstance(decorator, ast.Call):
        given = [*decorator.args[:1], *(word.value for word in decorator.keywords if word.arg == "maxsize")]
        unbounded = any(isinstance(value, ast.Constant) and value.value is None for value in given)
        return unbounded and dotted(decorator.func).endswith("lru_cache")
    return dotted(decorator) in {"cache", "functools.cache"}


def test_no_module_has_state(src: list[Module]) -> None:
    expect_none(problem for module in src for problem in problems(module))


@pytest.mark.parametrize(
    "text",
    [
        "cache = {}",
        "TABLE: Final = {'a': 1}",
        "names: list[str] = []",
        "seen = set()",
        "seen: Final = {x for x in ()}",
        "pairs: Final = ((1, []), (2, []))",
        "waiting = collections.deque()",
        "lock: Final = threading.Lock()",
        "if True:\n    cache = {}",
        "try:\n    pass\nexcept OSError:\n    cache = []",
        "count = 0\ndef f():\n    global count",
        "total = 0\ntotal += 1",
        "from functools import cache\n@cache\ndef f(): ...",
        "import functools\n@functools.lru_cache(maxsize=None)\ndef f(): ...",
        "from functools import lru_cache\n@lru_cache(None)\ndef f(): ...",
    ],
)
def test_state_is_found(text: str) -> None:
    assert len(problems(excerpt(text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "TABLE: Final = MappingProxyType({'a': 1})",
        "NAMES: Final = frozenset({'a', 'b'})",
        "PAIRS: Final = ((1, 'a'), (2, 'b'))",
        "NAMES: Final = tuple([1, 2])",
        "Duration = Annotated[float, BeforeValidator(parse)]",
        "def f():\n    found = []\n    return found",
        "class A:\n    def __init__(self):\n        self.found = {}",
        "@lru_cache(maxsize=4096)\ndef f(): ...",
        "@lru_cache\ndef f(): ...",
    ],
)
def test_constants_and_locals_are_free(text: str) -> None:
    assert problems(excerpt(text)) == []
