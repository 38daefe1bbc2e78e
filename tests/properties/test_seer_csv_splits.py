"""A CSV read in pieces is the CSV read at once, wherever it is cut."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seer_integration.datasets.boundaries import Quotes, cuts, ends_inside
from seer_integration.datasets.places import Places
from seer_integration.datasets.sources import read, splits, survey
from seer_integration.operations import Scan

pacsv.read_csv(io.BytesIO(b"a\n1"))  # the first one opens a pipe for signals, which stays

VALUES = st.text(alphabet='ab,"\n\r é', max_size=6)


def enclosed(value: str, always: bool) -> str:
    needs = always or any(character in value for character in ',"\n\r') or not value
    return '"' + value.replace('"', '""') + '"' if needs else value


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, bool]:
    """A file as programs write them, and whether it has a header."""
    header, always = draw(st.booleans()), draw(st.booleans())
    columns = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(VALUES, min_size=columns, max_size=columns), min_size=1, max_size=12))
    lines = [",".join(enclosed(value, always) for value in row) for row in rows]
    if header:
        lines.insert(0, ",".join(f"c{number}" for number in range(columns)))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    blank = draw(st.sampled_from(["", "", end]))
    text = (end + blank).join(lines) + draw(st.sampled_from(["", end]))
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + text.encode(), header


def at_once(data: bytes, names: list[str], header: bool) -> pa.Table:
    """By Arrow's reader, of the whole."""
    text = dict.fromkeys(names, pa.large_string())
    if not names:
        return pa.table({})
    return pacsv.read_csv(
        pa.BufferReader(data),
        pacsv.ReadOptions(column_names=None if header else names),
        pacsv.ParseOptions(newlines_in_values=True),
        pacsv.ConvertOptions(
            column_types=text, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@settings(max_examples=60)
@given(file=files(), target=st.integers(1, 60))
@example(file=(b'"a\nb",c\n', False), target=1)
@example(file=(b'x,"1\n"\n"y\r\n""z",\n\n', False), target=3)
def test_pieces_are_the_whole(directory: Path, file: tuple[bytes, bool], target: int) -> None:
    data, header = file
    path = directory / "file.csv"
    path.write_bytes(data)
    places = Places(lambda name: None)
    scan = Scan(file=str(path), header=header)
    names = survey(scan, places, "shm").source.schema.names
    scan = Scan(file=str(path), header=header, types=["str"] * len(names))
    found = survey(scan, places, "shm")
    pieces = splits(found, target, places=places)
    table = pa.concat_tables(
        [found.source.schema.empty_table(), *(read(found.source, each, places)[0] for each in pieces)]
    )
    assert table.to_pydict() == at_once(data, names, header).to_pydict()
    assert sum(each.nbytes for each in pieces) == len(data)


def walked(data: bytes, inside: bool) -> bool:
    """As Arrow's parser goes through it, a byte at a time."""
    fresh, at = True, 0
    while at < len(data):
        byte = data[at : at + 1]
        if inside:
            if byte == b'"' and data[at + 1 : at + 2] == b'"':
                at += 1
            elif byte == b'"':
                inside, fresh = False, False
        elif byte == b'"' and fresh:
            inside = True
        else:
            fresh = byte in b",\r\n"
        at += 1
    return inside


LINES = st.lists(st.text(alphabet='a,"\r', max_size=8), max_size=8).map(
    lambda lines: "".join(f"{line}\n" for line in lines)
)


@settings(max_examples=100)
@given(text=LINES, inside=st.booleans())
def test_quotes_in_any_place_are_followed_as_arrow_does(text: str, inside: bool) -> None:
    data = text.encode()
    assert ends_inside(np.frombuffer(data, np.uint8), Quotes(34, 44), inside) == walked(data, inside)


@settings(max_examples=60)
@given(text=LINES, wanted=st.lists(st.integers(1, 60), max_size=5))
def test_cuts_are_where_rows_begin(text: str, wanted: list[int]) -> None:
    data = text.encode()
    view = np.frombuffer(data, np.uint8)
    rows = [at for at in range(1, len(data)) if data[at - 1 : at] == b"\n" and not walked(data[:at], False)]
    expected = sorted({next((row for row in rows if row >= at), 0) for at in wanted} - {0})
    found = cuts(lambda start, stop: view[start:stop], len(data), sorted(wanted), Quotes(34, 44), exact=True)
    assert found == expected
