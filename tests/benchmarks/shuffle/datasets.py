"""Data sets of the shuffle's benchmarks: the same bytes each time, made block by block."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["rankings", "text", "user_visits", "vocabulary", "zipf_keys", "zipf_ranks"]

_BLOCK_ROWS = 250_000
_BLOCK_WORDS = 2_000_000
_LINE = 100  # characters, about
_DAYS = 15_340  # 1970-01-01 to 2011-12-31
_LETTERS = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz", dtype=np.uint8)


def text(path: Path, size: int, words: int = 50_000) -> pa.Table:
    """Write words that are as often as Zipf has it, a space apart, in lines of about 100 characters.

    Parameters
    ----------
    size:
        In bytes. The file is shorter by less than a word.
    words:
        In the vocabulary. The frequent ones are no shorter than the rare.

    Returns
    -------
    What counting them must give: columns word (string) and count (int64), by falling count, then word.
    """
    names = vocabulary(words)
    spaced = pc.binary_join_element_wise(names, "", " ")
    counts = np.zeros(words, dtype=np.int64)
    with path.open("wb") as file:
        left, block = size, 0
        while left > 0:
            ranks = zipf_ranks(_random("text", block), min(_BLOCK_WORDS, left // 2 + 1), words)
            written, used = _write_lines(file, spaced.take(pa.array(ranks)), left)
            counts += np.bincount(ranks[:used], minlength=words)
            if used < len(ranks):
                break
            left, block = left - written, block + 1
    table = pa.table({"word": names, "count": counts})
    return table.filter(pc.greater(table["count"], 0)).sort_by([("count", "descending"), ("word", "ascending")])


def _write_lines(file: BinaryIO, words: pa.StringArray, most: int) -> tuple[int, int]:
    """Write those of `words`, each with a space behind it, that fit into `most` bytes; gives the bytes, the words."""
    ends = np.frombuffer(words.buffers()[1], np.int32)[1 : len(words) + 1]
    used = int(np.searchsorted(ends, most, side="right"))
    if not used:
        return 0, 0
    ends = ends[:used]
    data = np.frombuffer(words.buffers()[2], np.uint8)[: ends[-1]].copy()
    lines = ends // _LINE
    data[ends[:-1][lines[1:] != lines[:-1]] - 1] = ord("\n")
    data[-1] = ord("\n")
    file.write(memoryview(data))
    return len(data), used


def zipf_keys(rows: int, distinct: int = 1_000_000, duplicates: float = 0.3) -> pa.Table:
    """Few keys with many rows, many keys with few; and rows that are there more than once.

    Parameters
    ----------
    distinct:
        Keys that can occur; how often each does is as `zipf_ranks` has it, which key it is is random.
    duplicates:
        The share of the rows, 0 to 1, that repeat another one, key and value.

    Returns
    -------
    Columns key and value, both int64, in blocks. The rows that are no repetition have values of their own, 0 and up.
    """
    scrambled = _random("zipf names").permutation(distinct)
    blocks, fresh_rows = [], 0
    for block, count in _blocks(rows):
        random = _random("zipf", block)
        fresh = count - int(count * duplicates)
        rank = zipf_ranks(random, fresh, distinct)
        picks = np.concatenate([np.arange(fresh), random.integers(0, max(fresh, 1), count - fresh)])
        random.shuffle(picks)
        blocks.append(pa.record_batch({"key": scrambled[rank][picks], "value": picks + fresh_rows}))
        fresh_rows += fresh
    return pa.Table.from_batches(blocks, pa.schema({"key": pa.int64(), "value": pa.int64()}))


def rankings(rows: int) -> pa.Table:
    """The Rankings of the Berkeley Big Data Benchmark: pages, and how they rank.

    Returns
    -------
    pageURL (string, 20 to 80 letters, each once), pageRank (int32, from 1; most are small), avgDuration (int32, seconds
    from 1 to 99), in blocks.
    """
    schema = pa.schema({"pageURL": pa.string(), "pageRank": pa.int32(), "avgDuration": pa.int32()})
    blocks = []
    for block, count in _blocks(rows):
        random = _random("rankings", block)
        columns = [
            _texts(random, random.integers(20, 81, count)),
            (zipf_ranks(random, count, 10_000) + 1).astype(np.int32),
            random.integers(1, 100, count, dtype=np.int32),
        ]
        blocks.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(blocks, schema)


def user_visits(rows: int, pages: pa.Table) -> pa.Table:
    """The UserVisits of the Berkeley Big Data Benchmark.

    Parameters
    ----------
    pages:
        Rankings. destURL is one of their pageURL, some often, most seldom.

    Returns
    -------
    sourceIP, destURL (strings), visitDate (date32, 1970 to 2011), adRevenue (double, 0 to 1), userAgent, countryCode,
    languageCode, searchWord (strings), duration (int32, seconds from 1 to 99), in blocks.
    """
    text, number = pa.string(), pa.int32()
    schema = pa.schema(
        {"sourceIP": text, "destURL": text, "visitDate": pa.date32(), "adRevenue": pa.float64(), "userAgent": text}
        | {"countryCode": text, "languageCode": text, "searchWord": text, "duration": number}
    )
    agents, languages = _agents(), _languages()
    countries = _texts(_random("countries"), np.full(200, 3)).unique()
    searched = vocabulary(50_000)
    low, high = np.divmod(np.arange(65_536), 256)
    halves = pc.binary_join_element_wise(pa.array(low).cast(text), pa.array(high).cast(text), ".")
    # A page's place in the table says nothing about how often it is visited.
    scrambled = _random("visited").permutation(pages.num_rows).astype(np.int32)
    blocks = []
    for block, count in _blocks(rows):
        random = _random("visits", block)
        visited = pages["pageURL"].take(pa.array(scrambled[zipf_ranks(random, count, pages.num_rows)]))
        columns = [
            pc.binary_join_element_wise(_pick(random, halves, count), _pick(random, halves, count), "."),
            visited.combine_chunks(),
            pa.array(random.integers(0, _DAYS, count, dtype=np.int32)).cast(pa.date32()),
            random.random(count),
            _pick(random, agents, count),
            _pick(random, countries, count),
            _pick(random, languages, count),
            searched.take(pa.array(zipf_ranks(random, count, len(searched)))),
            random.integers(1, 100, count, dtype=np.int32),
        ]
        blocks.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(blocks, schema)


def vocabulary(words: int) -> pa.StringArray:
    """As many different words, of 3 to 12 letters."""
    random = _random("vocabulary")
    found = _texts(random, random.integers(3, 13, words + words // 10 + 100)).unique()
    return found.slice(0, words)


def zipf_ranks(random: np.random.Generator, count: int, distinct: int) -> np.ndarray:
    """Ranks from 0 to distinct - 1, int32, shape (count,); rank r is about 1 / (r + 1) times as frequent as rank 0.

    The inverse of a logarithm, rounded: P(r) is proportional to log((r + 1.5) / (r + 0.5)), for rank 0 that is 10 %
    above 1 / (r + 1), for the others at most 2 %.
    """
    scaled = random.random(count)
    scaled *= np.log(2 * distinct + 1)
    np.exp(scaled, out=scaled)
    return np.minimum((scaled - 1) * 0.5, distinct - 1).astype(np.int32)


def _random(name: str, block: int = 0) -> np.random.Generator:
    """A generator for a block alone, so that a longer table begins with the blocks of a shorter one."""
    return np.random.default_rng([2026, block, *name.encode()])


def _blocks(rows: int) -> Iterator[tuple[int, int]]:
    for start in range(0, rows, _BLOCK_ROWS):
        yield start // _BLOCK_ROWS, min(_BLOCK_ROWS, rows - start)


def _texts(random: np.random.Generator, lengths: np.ndarray) -> pa.StringArray:
    """Random small letters; a text for each length."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    letters = _LETTERS[random.integers(0, 26, offsets[-1], dtype=np.uint8)]
    return pa.StringArray.from_buffers(len(lengths), pa.py_buffer(offsets), pa.py_buffer(letters))


def _pick(random: np.random.Generator, values: pa.Array, count: int) -> pa.Array:
    return values.take(pa.array(random.integers(0, len(values), count, dtype=np.int32)))


def _agents() -> pa.StringArray:
    names = vocabulary(1000).to_pylist()
    systems = ("X11; Linux x86_64", "Windows NT 6.1", "Macintosh; Intel Mac OS X 10_7")
    return pa.array([f"{name.title()}/{n % 9 + 1}.0 ({systems[n % 3]})" for n, name in enumerate(names)])


def _languages() -> pa.StringArray:
    texts = _texts(_random("languages"), np.full(200, 4)).to_pylist()
    return pa.array(sorted({f"{each[:2]}-{each[2:].upper()}" for each in texts}))
