"""Mappers, combiners and reducers of the shuffle's figures."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["count_rows", "count_words", "hand_over", "sum_up", "words_of"]


def hand_over(part: pa.Table) -> pa.Table:
    """A mapper that has its rows already."""
    return part


def count_rows(rows: pa.Table) -> int:
    return int(rows.num_rows)


def words_of(path: str, start: int, stop: int) -> pa.Table:
    """A mapper: each word of the lines that begin in the file's bytes `start` to `stop`, with a one."""
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        text = file.read(max(stop - file.tell(), 0))
        if text and not text.endswith(b"\n"):  # else the next line begins at `stop`, and is another mapper's
            text += file.readline()
    words = pc.list_flatten(pc.split_pattern(pa.array(text.split(b"\n"), pa.large_string()), " "))
    words = words.filter(pc.not_equal(words, ""))
    return pa.table({"word": words, "count": pa.repeat(pa.scalar(1, pa.int64()), len(words))})


def sum_up(rows: pa.Table) -> pa.Table:
    """The combiner."""
    return rows.group_by("word").aggregate([("count", "sum")]).rename_columns(["word", "count"])


def count_words(rows: pa.Table) -> pa.Table:
    """The reducer."""
    return sum_up(rows)
