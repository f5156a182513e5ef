"""The collector's stdout and the sender's stdin, on real pipes."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_collector.errors import ReaderGone
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import TokenPlace, TokenPlaces
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


@dataclass
class Output:
    """A collector's stdout, and the places of its tokens."""

    lines: LineOutput
    places: TokenPlaces

    def put(self, *lines: tuple[bytes, tuple[int, ...]]) -> None:
        for data, tokens in lines:
            self.places.claim(tokens, 0.0)
            self.lines.put([OutputLine(data, tokens, len(tokens))])

    @property
    def read(self) -> list[int]:
        self.lines.note_read()
        return self.places.at(TokenPlace.READ)


def output_to(fd: int) -> Output:
    places = TokenPlaces()
    return Output(LineOutput(fd, places), places)


def test_output_counts_what_the_reader_read(pipe: tuple[int, int]) -> None:
    """A line counts as read once its last byte has left the pipe, and only once."""
    reader, writer = pipe
    output = output_to(writer)
    output.put((b"one\n", (1,)), (b"three\n", (2, 3)))
    assert output.places.at(TokenPlace.WAITING) == [1, 2, 3]
    output.lines.write()
    assert (output.lines.empty, output.read) == (True, [])
    assert output.places.at(TokenPlace.WRITTEN) == [1, 2, 3]
    assert os.read(reader, 9) == b"one\nthree"
    assert output.read == [1]
    assert (output.lines.rows_read, output.lines.rows_unread, output.lines.has_unread) == (1, 2, True)
    os.read(reader, 1)
    for _ in range(2):
        output.lines.note_read()
        assert (output.lines.rows_read, output.lines.rows_unread, output.lines.has_unread) == (3, 0, False)
    assert output.read == [1, 2, 3]


def test_output_withdraws_only_unwritten_lines(pipe: tuple[int, int]) -> None:
    """A line with a written byte is finished. Lines behind it can be withdrawn."""
    reader, writer = pipe
    output = output_to(writer)
    output.put((b"x" * 5000 + b"\n", (1,)), (b"two\n", (2,)))
    output.lines.write()
    assert (output.lines.withdraw(), output.lines.withdraw()) == (True, False)
    assert output.places.at(TokenPlace.WAITING) == [2]
    output.lines.write()
    assert (output.lines.empty, os.read(reader, 9000)) == (True, b"x" * 5000 + b"\n")


def test_output_writes_lines_whose_tokens_moved_on(pipe: tuple[int, int]) -> None:
    """A token that was claimed again is at its new line, whatever happens to the old one. All rows are counted."""
    reader, writer = pipe
    output = output_to(writer)
    output.put((b"one,two\n", (1, 2)))
    output.lines.write()
    output.put((b"three,four\n", (3, 4)))
    output.lines.remove_tokens({2, 3})
    output.places.forget([2, 3])
    output.places.claim([2, 3], 0.0)
    output.lines.write()
    assert os.read(reader, 100) == b"one,two\nthree,four\n"
    assert output.read == [1, 4]
    assert output.places.at(TokenPlace.UNSIGNED) == [2, 3]
    assert (output.lines.rows, output.lines.lines) == (4, 2)


def test_output_notices_a_closed_reader(pipe: tuple[int, int]) -> None:
    """Writing to a pipe without a reader raises an error of its own."""
    reader, writer = pipe
    output = output_to(writer)
    output.put((b"one\n", (1,)))
    os.close(reader)
    with pytest.raises(ReaderGone):
        output.lines.write()
    assert output.read == []


def test_output_to_a_file_is_read_when_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file needs no reader."""
    path = tmp_path_factory.mktemp("output") / "lines"
    output = output_to(os.open(path, os.O_WRONLY | os.O_CREAT))
    output.put((b"one\n", (1,)), (b"two\n", (2,)))
    output.lines.write()
    assert (output.read, path.read_bytes()) == ([1, 2], b"one\ntwo\n")
    output.lines.close()


@given(st.lists(st.binary(max_size=8).map(lambda b: b.replace(b"\n", b"")), max_size=6), st.data())
def test_input_splits_lines_across_reads(lines: list[bytes], data: st.DataObject) -> None:
    """Lines are whole, whatever pieces they arrive in. The rest without a newline is kept."""
    stream = b"".join(line + b"\n" for line in lines) + b"rest"
    reader, writer = os.pipe()
    source, got = LineInput(reader), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        os.write(writer, stream[:size])
        stream = stream[size:]
        got += list(source.read())
    os.close(writer)
    got += list(source.read())
    os.close(reader)
    assert (got, source.leftover(), source.ended) == (lines, b"rest", True)


def test_input_passes_on_an_overlong_line_in_pieces(pipe: tuple[int, int]) -> None:
    """An endless line does not fill the memory: its pieces are passed on, and the next line is read."""
    reader, writer = pipe
    source, pieces, size = LineInput(reader), b"", 1 << 16
    for _ in range(LONGEST_LINE // size + 2):
        os.write(writer, b"x" * size)
        for piece in source.read():
            assert isinstance(piece, OverlongLine)
            assert piece.is_first == (not pieces)
            assert len(piece.data) <= size or piece.is_first
            pieces += piece.data
    os.write(writer, b"end\nnext\n")
    last, following = source.read()
    assert isinstance(last, OverlongLine)
    assert not last.is_first
    assert (len(pieces + last.data), following) == ((LONGEST_LINE // size + 2) * size + 4, b"next")


def test_each_overlong_line_is_separate(pipe: tuple[int, int]) -> None:
    """A second one is distinguished from the first, even if the newline comes at once."""
    reader, writer = pipe
    source = LineInput(reader)
    begun: list[bool] = []
    for _ in range(2):
        for data in [*[b"x" * (1 << 16)] * (LONGEST_LINE // (1 << 16)), b"x\n"]:
            os.write(writer, data)
            begun += [piece.is_first for piece in source.read() if isinstance(piece, OverlongLine)]
    assert begun == [True, True]
