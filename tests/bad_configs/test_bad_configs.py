"""Every file in `bad` is refused with exactly the problems its comments name, and every file in `good` is taken.

`#! path: text` at the end of a line expects a problem on that line whose words begin like that; `#!-2 ...` one that
stands two lines higher. Several may follow one another. Anything else that is found is a failure of the test.
"""

import re
from pathlib import Path

import pytest

from postroad.config.load import inspect_config, load_config
from postroad.model.errors import ConfigError

_HERE = Path(__file__).parent
_BAD = sorted((_HERE / "bad").glob("*.toml"))
_GOOD = sorted((_HERE / "good").glob("*.toml"))
_MARK = re.compile(r"#!(-\d+)? (.*?)(?=\s+#!|$)")


def _expected(file: Path) -> list[str]:
    out = []
    for number, line in enumerate(file.read_text().splitlines(), 1):
        for up, words in _MARK.findall(line):
            # A problem of the whole file has no line.
            place = f"{file}" if line.startswith("#! ") else f"{file}:{number + int(up or 0)}"
            out.append(f"{place}: {words}")
    return sorted(out)


@pytest.mark.parametrize("file", _BAD, ids=lambda file: file.stem)
def test_is_refused_with_every_problem(file: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    expected, found = _expected(file), sorted(caught.value.problems)
    assert expected
    assert len(found) == len(expected), "\n".join(found)
    for words, problem in zip(expected, found, strict=True):
        assert problem.startswith(words)


@pytest.mark.parametrize("file", _GOOD, ids=lambda file: file.stem)
def test_is_taken_without_a_doubt(file: Path) -> None:
    loaded = inspect_config(file)
    assert loaded.lines(loaded.problems) == []
    assert loaded.lines(loaded.warnings) == []
    assert loaded.config is not None
