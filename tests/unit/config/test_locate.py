"""`locate` finds every key, table and element of any valid TOML on its true line."""

import tomllib

from hypothesis import given
from hypothesis import strategies as st

from postroad.config.locate import KeyPath, locate


def test_every_kind_of_place() -> None:
    text = """\
a = 1 # [not.here]
b.c . "d e" = 'x'

[t]
'q' = [ 1,
  [2], { k = 3,
  l = [4] } ]
[[r]]
x = 1
[r.sub]
y = \"\"\"
[no]
z = 3 \\\"\"\" ""\"\"\"
[[r]]
[[r.deep]]
m = 1979-05-27 07:32:00
[[r.deep]]
n = true
"""
    lines = locate(text)
    assert lines[("a",)] == 1
    assert lines[("b",)] == lines[("b", "c")] == lines[("b", "c", "d e")] == 2
    assert lines[("t",)] == 4
    assert lines[("t", "q", 0)] == 5
    assert lines[("t", "q", 1, 0)] == 6
    assert lines[("t", "q", 2, "k")] == 6
    assert lines[("t", "q", 2, "l", 0)] == 7
    assert lines[("r",)] == lines[("r", 0)] == 8
    assert lines[("r", 0, "sub", "y")] == 11
    assert lines[("r", 1)] == 14
    assert lines[("r", 1, "deep", 0, "m")] == 16
    assert lines[("r", 1, "deep", 1, "n")] == 18
    assert ("z",) not in lines


def test_empty_text_has_no_places() -> None:
    assert locate("") == {}
    assert locate("# only a comment") == {}


_BASIC = str.maketrans({'"': '\\"', "\\": "\\\\", "\t": "\\t"})
_KEYS = st.one_of(
    st.text("abc-_1", min_size=1, max_size=3),
    st.text('ab "\\#[]{}=.,\t', max_size=3).map(lambda text: '"' + text.translate(_BASIC) + '"'),
    st.text('ab "#[]{}=.,', max_size=3).map(lambda text: f"'{text}'"),
)
_TEXT = st.text("ab #[]{}=,.'\n", max_size=6)
_SCALARS = st.one_of(
    st.integers(-99, 99).map(str),
    st.sampled_from(["true", "1.5", "inf", "1979-05-27", "1979-05-27 07:32:00", "1979-05-27T07:32:00Z", "0x1f"]),
    _TEXT.map(lambda text: '"' + text.replace("\n", "\\n") + '"'),
    _TEXT.map(lambda text: f'"""{text}"""'),
    st.text('ab #[]{}=,."\n', max_size=6).map(lambda text: f"'''{text}'''"),
)
_GAPS = st.sampled_from(["", " ", "\n", " # a ] comment\n", "\n\n\t"])


@st.composite
def _arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    parts = draw(st.lists(st.tuples(_GAPS, inner, _GAPS), max_size=3))
    return "[" + ",".join("".join(part) for part in parts) + draw(_GAPS) + "]"


@st.composite
def _inline(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    keys = draw(st.lists(_KEYS, max_size=3, unique_by=_key_value))
    return "{ " + ", ".join(f"{key} = {draw(inner)}" for key in keys) + " }"


def _key_value(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0")))


_VALUES = st.recursive(_SCALARS, lambda inner: st.one_of(_arrays(inner), _inline(inner)), max_leaves=5)


@st.composite
def _documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 5))):
        match draw(st.integers(0, 3)):
            case 0:
                lines.append("[" + " . ".join(draw(st.lists(_KEYS, min_size=1, max_size=3))) + "]")
            case 1:
                lines.append("[[ " + ".".join(draw(st.lists(_KEYS, min_size=1, max_size=2))) + " ]] # twice")
            case _:
                lines.append(f"{'.'.join(draw(st.lists(_KEYS, min_size=1, max_size=2)))} = {draw(_VALUES)}")
        lines.append(draw(st.sampled_from(["", "# comment = 1"])))
    return "\n".join(lines)


def _paths(value: object, path: KeyPath = ()) -> set[KeyPath]:
    out = {path} if path else set()
    if isinstance(value, dict):
        for key, part in value.items():
            out |= _paths(part, (*path, key))
    elif isinstance(value, list):
        for at, part in enumerate(value):
            out |= _paths(part, (*path, at))
    return out


@given(_documents())
def test_finds_exactly_the_places_that_tomllib_finds(text: str) -> None:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a table given twice and the like: only valid text is ever located
    lines = locate(text)
    assert set(lines) == _paths(table)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
