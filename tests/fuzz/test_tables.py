"""Tables of aliases against any text and any octets: read or refused with a line, never a fault; and soon."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroad.aliases.files import FileTable
from postroad.aliases.patterns import parse_patterns
from postroad.aliases.text import parse_table, parse_targets, split_addresses

ADDRESSES = st.sampled_from(["a@x.example", "@y.example", '"q, r"@x.example', "b+c@x.example", "x.example", "u"])
PIECES = st.one_of(ADDRESSES, st.sampled_from([" ", "\t", ",", "\n", "\n  ", "#", '"', "\\", "<", ">", ":", "|", "ü"]))


@given(st.text(max_size=300) | st.lists(PIECES, max_size=40).map("".join))
def test_any_text_is_a_table_or_refused(text: str) -> None:
    table = parse_table(text)
    for key, value in table.entries.items():
        assert key == key.lower()
        assert parse_targets(split_addresses(value)) == split_addresses(value)
    assert all(1 <= flaw.line <= text.count("\n") + 1 and flaw.text for flaw in table.flaws + table.doubts)


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_is_patterns_or_refused(text: str, address: str) -> None:
    table = parse_patterns(text)
    assert all(1 <= flaw.line <= text.count("\n") + 1 and flaw.text for flaw in table.flaws)
    table.find(address)


@given(
    st.from_regex(r"/[a-z().*|\\/\[\]+?^$]{1,20}/i? {1,2}[a-z$0-9{}()@.,]{1,20}", fullmatch=True), st.text(max_size=9)
)
def test_lines_that_look_like_patterns(line: str, address: str) -> None:
    table = parse_patterns(line)
    assert len(table.patterns) + len(table.flaws) == 1
    found = table.find(address)
    assert found is None or found


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables") / "table"


@given(octets=st.binary(max_size=300), is_regexp=st.booleans())
def test_any_octets_in_a_file(scratch: Path, octets: bytes, is_regexp: bool) -> None:
    scratch.write_bytes(octets)
    table = FileTable(scratch, is_regexp=is_regexp)
    reading = table.load()
    assert table.count == 0 or not reading.flaws
    assert all(flaw.text for flaw in reading.flaws)
