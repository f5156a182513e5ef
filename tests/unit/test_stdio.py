"""The collector's outlet and the sender's inlet, on real pipes."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_collector.errors import ReaderGone
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.sign.line import OutputLine
from mailroom_sender.input.stdin import LONGEST_LINE, LineInput, OverlongLine


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue


def test_outlet_tells_what_the_reader_took(pipe: tuple[int, int]) -> None:
    """A line counts as taken once its last byte has left the pipe, and only once."""
    reader, writer = pipe
    outlet = LineOutput(writer)
    outlet.put([OutputLine(b"one\n", (1,)), OutputLine(b"three\n", (2, 3))])
    outlet.write()
    assert (outlet.empty, outlet.taken()) == (True, [])
    assert os.read(reader, 9) == b"one\nthree"
    assert outlet.taken() == [1]
    os.read(reader, 1)
    assert (outlet.taken(), outlet.taken(), outlet.holds_begun) == ([2, 3], [], False)


def test_outlet_withdraws_only_what_is_not_begun(pipe: tuple[int, int]) -> None:
    """A line of which a byte is written is finished; those behind it can be given back."""
    reader, writer = pipe
    outlet = LineOutput(writer)
    outlet.put([OutputLine(b"x" * 5000 + b"\n", (1,)), OutputLine(b"two\n", (2,))])
    outlet.write()
    assert outlet.withdraw() == [2]
    outlet.write()
    assert (outlet.empty, os.read(reader, 9000)) == (True, b"x" * 5000 + b"\n")


def test_outlet_sees_that_nobody_reads(pipe: tuple[int, int]) -> None:
    """Writing to a pipe without a reader is an error of its own."""
    reader, writer = pipe
    outlet = LineOutput(writer)
    outlet.put([OutputLine(b"one\n", (1,))])
    os.close(reader)
    with pytest.raises(ReaderGone):
        outlet.write()
    assert outlet.taken() == []


def test_outlet_to_a_file_is_taken_when_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is in a file needs no reader."""
    path = tmp_path_factory.mktemp("outlet") / "lines"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    outlet = LineOutput(fd)
    outlet.put([OutputLine(b"one\n", (1,)), OutputLine(b"two\n", (2,))])
    outlet.write()
    assert (outlet.taken(), path.read_bytes()) == ([1, 2], b"one\ntwo\n")
    outlet.close()


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), max_size=6), st.data())
def test_inlet_cuts_lines_wherever_the_reads_end(lines: list[bytes], data: st.DataObject) -> None:
    """Lines come out whole, whatever pieces they arrive in; what has no newline is left over."""
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    reader, writer = os.pipe()
    inlet, got = LineInput(reader), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        os.write(writer, stream[:size])
        stream = stream[size:]
        got += list(inlet.read())
    os.close(writer)
    got += list(inlet.read())
    os.close(reader)
    assert (got, inlet.leftover(), inlet.ended) == (lines, b"rest", True)


def test_inlet_hands_on_an_overlong_line_in_pieces(pipe: tuple[int, int]) -> None:
    """A line without end does not fill the memory: it is handed on piece by piece, and the next line is read."""
    reader, writer = pipe
    inlet, pieces, size = LineInput(reader), b"", 1 << 16
    for _ in range(LONGEST_LINE // size + 2):
        os.write(writer, b"x" * size)
        for piece in inlet.read():
            assert isinstance(piece, OverlongLine)
            assert piece.is_first == (not pieces)
            assert len(piece.data) <= size or piece.is_first
            pieces += piece.data
    os.write(writer, b"end\nnext\n")
    last, following = inlet.read()
    assert isinstance(last, OverlongLine)
    assert not last.is_first
    assert (len(pieces + last.data), following) == ((LONGEST_LINE // size + 2) * size + 4, b"next")


def test_every_overlong_line_begins_anew(pipe: tuple[int, int]) -> None:
    """A second one is told apart from the first, also where the newline comes at once."""
    reader, writer = pipe
    inlet = LineInput(reader)
    begun: list[bool] = []
    for _ in range(2):
        for data in [*[b"x" * (1 << 16)] * (LONGEST_LINE // (1 << 16)), b"x\n"]:
            os.write(writer, data)
            begun += [piece.is_first for piece in inlet.read() if isinstance(piece, OverlongLine)]
    assert begun == [True, True]
