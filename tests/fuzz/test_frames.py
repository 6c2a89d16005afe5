"""Frames under fire: whatever happens to a segment's octets costs the frames that were hit, and no others."""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import given, settings

from postroad.spool.disk import Disk
from postroad.spool.frames import (
    HEADER_LENGTH,
    MAGIC,
    Kind,
    SegmentHead,
    find_mark,
    pack_header,
    pack_segment,
    read_header,
)
from postroad.spool.layout import Layout
from postroad.spool.segments import Frame, Hole, Segment, read_frames

MARK = b"\x01mark\xff\x00\x02"
parts = st.tuples(st.binary(max_size=300), st.binary(max_size=3000))


def segment_of(frames: list[tuple[bytes, bytes]]) -> tuple[bytes, list[tuple[int, int]]]:
    """A segment's octets, and where each frame begins and ends."""
    octets = pack_segment(MARK, SegmentHead(1))
    places = [(0, len(octets))]
    for head, body in frames:
        begin = len(octets)
        octets += pack_header(MARK, Kind.ARRIVAL, b"0" * 13, head, body) + head + body
        places.append((begin, len(octets)))
    return octets, places


def read(octets: bytes, trusted: int | None = None) -> list[Frame | Hole]:
    """Everything the reader finds in a segment of these octets."""
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        layout.make(Disk(), "main")
        layout.segment("main", 1).write_bytes(octets)
        return list(read_frames(layout, Disk(), Segment("main", 1, len(octets), trusted), MARK))


def good(found: list[Frame | Hole]) -> list[tuple[bytes, bytes]]:
    """Head and body of the undamaged arrivals."""
    return [(f.head, f.body) for f in found if isinstance(f, Frame) and not f.damage and f.header.kind == Kind.ARRIVAL]


@given(parts)
def test_a_frame_comes_back_as_it_was_written(part: tuple[bytes, bytes]) -> None:
    head, body = part
    packed = pack_header(MARK, Kind.OUTCOMES, b"0123456789BCD", head, body)
    header = read_header(packed + head + body, 0, MARK)
    assert header is not None
    assert (header.kind, header.id) == (Kind.OUTCOMES, "0123456789BCD")
    assert header.length == HEADER_LENGTH + len(head) + len(body)
    assert find_mark(packed) == MARK


@given(st.binary(max_size=200))
def test_random_octets_are_no_frame(octets: bytes) -> None:
    assert read_header(octets, 0, MARK) is None
    assert read_header(MAGIC + MARK + octets, 0, MARK) is None


@given(st.lists(parts, max_size=8))
def test_a_whole_segment_reads_whole(frames: list[tuple[bytes, bytes]]) -> None:
    found = read(segment_of(frames)[0])
    assert good(found) == frames
    assert len(found) == len(frames) + 1


@settings(max_examples=300)
@given(st.lists(parts, min_size=1, max_size=6), st.data())
def test_overwritten_octets_cost_the_frames_hit(frames: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    octets, places = segment_of(frames)
    begin = data.draw(st.integers(0, len(octets) - 1))
    new = data.draw(
        st.binary(min_size=1, max_size=len(octets) - begin) | st.just(bytes(min(4096, len(octets) - begin)))
    )
    hurt = octets[:begin] + new + octets[begin + len(new) :]
    found = read(hurt)
    spared = [
        part for part, (first, end) in zip(frames, places[1:], strict=True) if hurt[first:end] == octets[first:end]
    ]
    assert good(found) == spared
    # Nothing vanishes without a word: the octets that are in no good frame are told.
    told = sum(f.header.length if isinstance(f, Frame) else f.length for f in found)
    assert told == len(hurt)


@settings(max_examples=200)
@given(st.lists(parts, min_size=2, max_size=6), st.data())
def test_missing_and_extra_octets_cost_the_frames_hit(frames: list[tuple[bytes, bytes]], data: st.DataObject) -> None:
    octets, places = segment_of(frames)
    begin = data.draw(st.integers(0, len(octets) - 1))
    end = data.draw(st.integers(begin, len(octets)))
    new = data.draw(st.binary(max_size=200))
    found = good(read(octets[:begin] + new + octets[end:]))
    spared = [part for part, (first, last) in zip(frames, places[1:], strict=True) if last <= begin or first >= end]
    remaining = iter(found)
    assert all(part in remaining for part in spared)


@given(st.lists(parts, min_size=1, max_size=5), st.data())
def test_a_cut_segment_is_a_torn_tail_unless_more_was_promised(
    frames: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    octets, places = segment_of(frames)
    cut = data.draw(st.integers(places[0][1], len(octets) - 1))
    whole = [part for part, (_, end) in zip(frames, places[1:], strict=True) if end <= cut]
    found = read(octets[:cut])
    assert good(found) == whole
    assert all(hole.torn for hole in found if isinstance(hole, Hole))
    told = read(octets[:cut], trusted=len(octets))
    assert good(told) == whole
    assert any(isinstance(hole, Hole) and not hole.torn for hole in told)


@given(parts, parts)
def test_a_frame_inside_of_content_is_not_found_after_damage(
    inner: tuple[bytes, bytes], last: tuple[bytes, bytes]
) -> None:
    head, body = inner
    forged = pack_header(b"notours!", Kind.OUTCOMES, b"0" * 13, head, body) + head + body
    octets, places = segment_of([(b"{}", b"Subject: x\r\n\r\n" + forged), last])
    begin = places[1][0]
    hurt = octets[:begin] + b"XXXX" + octets[begin + 4 :]
    assert good(read(hurt)) == [last]


@given(st.lists(parts, min_size=2, max_size=5), st.integers(0, 4))
def test_what_stands_behind_the_trusted_length_does_not_count(frames: list[tuple[bytes, bytes]], kept: int) -> None:
    octets, places = segment_of(frames)
    kept = min(kept, len(frames))
    assert good(read(octets, trusted=places[kept][1])) == frames[:kept]
