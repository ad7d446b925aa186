"""Lines over descriptors, however they are cut into pieces."""

import os
import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolservers.stream import LineReader, LineTooLong, LineWriter

LIMIT = 20


def read_all(pieces: list[bytes]) -> list[bytes | None]:
    """What a reader with a small limit makes of the pieces; None stands for a line too long."""
    read_end, write_end = os.pipe()
    reader = LineReader(read_end, limit=LIMIT)
    found: list[bytes | None] = []
    try:
        for piece in pieces:
            os.write(write_end, piece)
            found += [_next(reader) for _ in range(piece.count(b"\n"))]
        os.close(write_end)
        assert reader.read_line() is None
    finally:
        os.close(read_end)
    return found


def _next(reader: LineReader) -> bytes | None:
    try:
        return reader.read_line()
    except LineTooLong:
        return None


@given(
    st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=8),
    st.lists(st.integers(min_value=0, max_value=500), max_size=8),
)
def test_lines_do_not_depend_on_how_they_arrive(lines: list[bytes], cuts: list[int]):
    data = b"".join(line + b"\n" for line in lines)
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[begin:end] for begin, end in pairwise(edges)]
    assert read_all(pieces) == [line if len(line) <= LIMIT else None for line in lines]


def test_half_a_line_at_the_end_is_dropped():
    assert read_all([b"one\n", b"half"]) == [b"one"]


def test_a_line_far_too_long_is_not_kept_in_memory():
    read_end, write_end = os.pipe()
    reader = LineReader(read_end, limit=LIMIT)

    def flood() -> None:
        for _ in range(1000):
            os.write(write_end, b"x" * 60_000)
        os.write(write_end, b"\nnext\n")

    writer = threading.Thread(target=flood)
    writer.start()
    with pytest.raises(LineTooLong):
        reader.read_line()
    assert reader.read_line() == b"next"
    writer.join()
    os.close(read_end)
    os.close(write_end)


def test_a_writer_says_when_nobody_reads():
    read_end, write_end = os.pipe()
    writer = LineWriter(write_end)
    assert writer.write_line(b"one")
    os.close(read_end)
    assert not writer.write_line(b"two")
    os.close(write_end)


def test_lines_of_several_threads_stay_whole():
    read_end, write_end = os.pipe()
    writer = LineWriter(write_end)
    lines = [bytes([letter]) * 100_000 for letter in b"abcd"]
    threads = [threading.Thread(target=writer.write_line, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    reader = LineReader(read_end)
    assert sorted(filter(None, (reader.read_line() for _ in lines))) == lines
    for thread in threads:
        thread.join()
    os.close(read_end)
    os.close(write_end)
