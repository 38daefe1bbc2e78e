"""A shuffled map_reduce as programs see it: rows and pairs, arguments, results, ends; what is wrong is said."""

import itertools
import json
import signal
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from programs import ASK
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket

from lithops_shm.config import StoreSettings

pytestmark = pytest.mark.usefixtures("cleaner_finishes")

HEAD = (
    ASK
    + """
import collections, decimal, itertools, math, os, re, signal, sys, threading, time
import numpy as np, pandas as pd, pyarrow as pa, pyarrow.compute as pc
import lithops_shm as shm
from lithops_shm import Shuffle
from lithops_shm.errors import ShmError

MAPPERS, ROWS = 4, 3000

def rows_of(n):
    # Keys that repeat within a mapper and among them; some are null. A row's id is its own, ascending by mapper.
    random = np.random.default_rng(n)
    keys = random.integers(-500, 500, ROWS)
    return pa.table({
        "k": pa.array(keys * 0.5, mask=keys % 97 == 0),
        "name": pa.array([f"name-{key % 7}" for key in keys]),
        "id": pa.array(range(n * ROWS, (n + 1) * ROWS)),
    })

def as_library(table, library):
    if library == "pandas":
        return table.to_pandas()
    if library == "arrow":
        return table
    import polars as pl  # takes a while in each worker
    return pl.from_arrow(table)

def give(n, library="arrow"):
    return as_library(rows_of(n), library)

def as_arrow(frame):
    if isinstance(frame, pd.DataFrame):
        return pa.Table.from_pandas(frame, preserve_index=False)
    return frame if isinstance(frame, pa.Table) else frame.to_arrow()

def whole(frame):
    return type(frame).__module__.partition(".")[0], as_arrow(frame)

def whole_of_batches(batches):
    assert not isinstance(batches, (list, pa.Table))
    tables = list(batches)
    return "batches", pa.concat_tables(tables) if tables else rows_of(0).slice(0, 0)

def in_order(keys, values):
    # Nulls last, equal keys by id: as the reducer promises them.
    order = [(key is None, key if key is not None else 0, value) for key, value in zip(keys, values)]
    return order == sorted(order)

def by_tens(keys, partitions):
    return pc.fill_null(pc.cast(pc.floor(pc.divide(pc.abs(keys["k"]), 60)), pa.int64()), 4)

def last_digit(key, partitions):
    return np.array([abs(int(each)) % partitions for each in key])

def described(partitions):
    # What the tests look at, of results from whole(); all properties are of all rows.
    found = [table for _, table in partitions]
    keys = [table["k"].to_pylist() for table in found]
    ids = [table["id"].to_pylist() for table in found]
    where = {}
    for number, each in enumerate(keys):
        for key in set(each):
            where.setdefault(key, set()).add(number)
    spans = [(min(present), max(present)) for each in keys if (present := [key for key in each if key is not None])]
    expected = pa.concat_tables([rows_of(n) for n in range(MAPPERS)])
    got = sorted(zip(itertools.chain(*keys), itertools.chain(*[t["name"].to_pylist() for t in found]),
                     itertools.chain(*ids)), key=lambda row: row[2])
    return {
        "partitions": len(found),
        "libraries": sorted({library for library, _ in partitions}),
        "complete": got == list(zip(*[expected[name].to_pylist() for name in ("k", "name", "id")])),
        "keys meet": all(len(numbers) == 1 for numbers in where.values()),
        "ascending": all(below[1] < above[0] for below, above in itertools.pairwise(spans)),
        "nulls last": where.get(None) == {max(number for number, each in enumerate(keys) if each)},
        "sorted": all(in_order(*both) for both in zip(keys, ids)),
    }

def left(executor):
    # Objects of shuffles that are still there.
    keys = executor.storage.list_keys(executor.internal_storage.bucket)
    return [key for key in keys if key.startswith("lithops-shm.shuffles")]
"""
)

GRID = (
    HEAD
    + """
LIBRARIES = ["arrow", "pandas", "polars"]
DELIVERIES = [None, "arrow", "pandas", "polars", "batches"]

def grid():
    answers = {}
    kinds = {"hash": "hash", "range": "range", "function": by_tens}
    turn = itertools.count()
    for (name, kind), sort, partitions in itertools.product(kinds.items(), (False, True), (None, 5)):
        if name == "function" and partitions is None:
            continue
        number = next(turn)
        library, deliver = LIBRARIES[number % 3], DELIVERIES[number % 5]
        shuffle = Shuffle(by="k", kind=kind, sort=sort, partitions=partitions, deliver=deliver)
        reducer = whole_of_batches if deliver == "batches" else whole
        found = executor.map_reduce(give, range(MAPPERS), reducer, extra_args=(library,), shuffle=shuffle).get_result()
        wanted = {"arrow": "pyarrow"}.get(deliver or library, deliver or library)
        answers[f"{name} {sort} {partitions}"] = {**described(found), "wanted": [wanted]}
    return answers

def libraries():
    answers = {}
    for library, deliver in [
        ("arrow", "pandas"), ("arrow", "polars"), ("pandas", "arrow"), ("pandas", "polars"), ("pandas", "batches"),
        ("polars", None), ("polars", "pandas"), ("polars", "batches"),
    ]:
        shuffle = Shuffle(by=["name", "k"], kind="range", partitions=2, deliver=deliver, sort=True)
        reducer = whole_of_batches if deliver == "batches" else whole
        found = executor.map_reduce(give, range(2), reducer, extra_args=(library,), shuffle=shuffle).get_result()
        rows = pa.concat_tables([table for _, table in found])
        expected = pa.concat_tables([rows_of(0), rows_of(1)]).sort_by(
            [("name", "ascending"), ("k", "ascending"), ("id", "ascending")])
        same = all(rows[name].to_pylist() == expected[name].to_pylist() for name in rows.column_names)
        answers[f"{library} {deliver}"] = [found[0][0], same]
    return answers

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([grid, libraries])
"""
)


@pytest.mark.parametrize("more_settings", [{"preload": ["numpy", "pandas", "pyarrow", "polars"]}], ids=["preloaded"])
def test_rows_reach_their_partitions(run: Callable[..., str]) -> None:
    answers = json.loads(run(GRID).splitlines()[-1])
    assert isinstance(answers["grid"], dict), answers["grid"]
    assert len(answers["grid"]) == 10
    for name, found in answers["grid"].items():
        kind, sort, partitions = name.split()
        assert found["complete"], name
        assert found["keys meet"], name
        assert found["libraries"] == found["wanted"], name
        assert found["partitions"] == (5 if partitions == "5" else found["partitions"] or 1), name
        assert found["sorted"] or sort == "False", name
        if kind == "range":
            assert found["ascending"], name
            assert found["nulls last"], name
    assert len(answers["libraries"]) == 8
    for name, (delivered, same) in answers["libraries"].items():
        library, deliver = name.split()
        wanted = library if deliver == "None" else deliver
        assert delivered == {"arrow": "pyarrow"}.get(wanted, wanted), name
        assert same, name


SHAPES = (
    HEAD
    + """
def in_parts(n, parts):
    table = rows_of(n)
    for start in range(0, ROWS, ROWS // parts):
        yield table.slice(start, ROWS // parts)

def mostly_nothing(n):
    if n == 0:
        return None
    return rows_of(n).slice(0, n) if n in (2, 5) else rows_of(n).slice(0, 0)

def mixed_nothing(n):
    if n % 2:
        yield rows_of(n).slice(0, 1)

def nothing(n):
    return None

def ids(table):
    return sorted(table["id"].to_pylist()) if "id" in table.column_names else table.column_names

def rows(table):
    return table.num_rows

def ids_of_frame(frame):
    return len(frame), list(frame.columns)

def batches():
    return executor.map_reduce(in_parts, range(MAPPERS), whole, extra_args=(10,),
        shuffle=Shuffle(by="k", sort=True, partitions=3)).get_result()

def several_tables():
    return described(batches())

def nothing_but_three_mappers():
    found = executor.map_reduce(mostly_nothing, range(7), ids, shuffle=Shuffle(by="k", kind=KIND, partitions=3))
    return sorted(itertools.chain(*found.get_result()))

def mappers_without_a_table():
    return sum(executor.map_reduce(mixed_nothing, range(5), rows, shuffle=Shuffle(by="k", kind=KIND)).get_result())

def no_rows_at_all():
    return executor.map_reduce(nothing, range(3), ids, shuffle=Shuffle(by="k", kind=KIND, partitions=2)).get_result()

def empty_tables():
    def no_rows(n):
        return rows_of(n).slice(0, 0).to_pandas()
    job = executor.map_reduce(no_rows, range(2), ids_of_frame, shuffle=Shuffle(by="k", kind=KIND, partitions=2))
    return job.get_result()

def one_row():
    def one(n):
        return rows_of(n).slice(7, 1)
    return sorted(executor.map_reduce(one, [0], rows, shuffle=Shuffle(by="k", kind=KIND, partitions=4)).get_result())

def one_key():
    def same(n):
        return pa.table({"k": [5] * 100})
    shuffle = Shuffle(by="k", kind=KIND, partitions=4)
    return sorted(executor.map_reduce(same, range(3), rows, shuffle=shuffle).get_result())

def tables_that_differ_harmlessly():
    def parts(n):
        yield pd.DataFrame({"k": [1, 2], "name": [None, None]})
        yield pd.DataFrame({"name": ["a", "b"], "k": [3, 4]})
        yield pd.DataFrame({"name": [None, "c"], "k": [4, 5]})
    job = executor.map_reduce(parts, range(2), whole, shuffle=Shuffle(by="k", kind=KIND, partitions=2, sort=True))
    rows = pa.concat_tables([table for _, table in job.get_result()]).sort_by("k").to_pydict()
    return rows["k"], sorted(str(name) for name in rows["name"])

def tables_that_differ():
    def parts(n):
        yield pa.table({"k": [1], "v": [None]})
        yield pa.table({"k": [1], "v": [1]})
        yield pa.table({"k": [1], "v": ["a"]})
    try:
        executor.map_reduce(parts, [0], rows, shuffle=Shuffle(by="k", kind=KIND, partitions=2)).get_result()
    except ShmError as error:
        return type(error).__name__, str(error).partition(":")[0]

def no_mappers():
    return executor.map_reduce(give, [], rows, shuffle=Shuffle(by="k", kind=KIND, partitions=2)).get_result()

def kinds_of_keys():
    def kinds(n):
        count = 50
        numbers = range(n * count, (n + 1) * count)
        return pa.table({
            "int8": pa.array([each % 100 for each in numbers], pa.int8()),
            "uint64": pa.array([2**63 + each for each in numbers], pa.uint64()),
            "bool": pa.array([each % 2 == 0 for each in numbers]),
            "float": pa.array([math.nan if each % 9 == 0 else -each / 3 for each in numbers]),
            "text": pa.array([f"\\u00e9{each % 11}" for each in numbers], pa.string()),
            "bytes": pa.array([bytes([each % 256]) for each in numbers], pa.binary()),
            "date": pa.array(numbers, pa.date32()),
            "time": pa.array(numbers, pa.timestamp("us", "UTC")),
            "decimal": pa.array([decimal.Decimal(each) for each in numbers], pa.decimal128(10, 2)),
            "category": pa.array([f"c{each % 5}" for each in numbers]).dictionary_encode(),
            "null": pa.array([None] * count) if n else pa.array([each % 3 for each in numbers], pa.int64()),
            "id": pa.array(numbers),
        })
    def all_of(table):
        return table.to_pylist()
    expected = sorted([row for n in range(2) for row in kinds(n).to_pylist()], key=lambda row: row["id"])
    answers = {}
    names = kinds(0).column_names
    for begin in range(0, len(names), 3):
        shuffle = Shuffle(by=names[begin : begin + 3], kind=KIND, partitions=2, sort=True)
        found = executor.map_reduce(kinds, range(2), all_of, shuffle=shuffle).get_result()
        rows = sorted(itertools.chain(*found), key=lambda row: row["id"])
        answers.update(dict.fromkeys(names[begin : begin + 3], str(rows) == str(expected)))
    return answers

def by_a_named_index():
    def indexed(n):
        return rows_of(n).to_pandas().set_index("k")
    return sum(executor.map_reduce(indexed, range(2), lambda frame: len(frame[["k", "id"]]),
        shuffle=Shuffle(by="k", kind=KIND, partitions=2)).get_result())

if __name__ == "__main__":
    KIND = sys.argv[1]
    executor = shm.FunctionExecutor(log_level=None)
    ask([several_tables, nothing_but_three_mappers, mappers_without_a_table, no_rows_at_all, empty_tables, one_row,
         one_key, no_mappers, kinds_of_keys, by_a_named_index, tables_that_differ_harmlessly, tables_that_differ])
"""
)


@pytest.mark.parametrize("kind", ["hash", "range"])
def test_few_rows_many_tables_and_all_types(run: Callable[..., str], kind: str) -> None:
    answers = json.loads(run(SHAPES, kind).splitlines()[-1])
    several = answers.pop("several_tables")
    assert several["complete"]
    assert several["keys meet"]
    assert several["sorted"]
    kinds = answers.pop("kinds_of_keys")
    assert len(kinds) == 12
    assert [name for name, same in kinds.items() if not same] == []
    assert sorted(answers.pop("one_key")) == [0, 0, 0, 300]
    assert answers == {
        "nothing_but_three_mappers": [6000, 6001, 15000, 15001, 15002, 15003, 15004],
        "mappers_without_a_table": 2,
        "no_rows_at_all": [[], []],
        "empty_tables": [[0, ["k", "name", "id"]]] * 2,
        "one_row": [0, 0, 0, 1],
        "no_mappers": [0, 0],
        "by_a_named_index": 6000,
        "tables_that_differ_harmlessly": [
            [1, 1, 2, 2, 3, 3, 4, 4, 4, 4, 5, 5],
            ["None"] * 6 + ["a", "a", "b", "b", "c", "c"],
        ],
        "tables_that_differ": ["SchemaMismatchError", "mapper 0 gives column 'v' as large_string, mapper 0 as int64"],
    }


PAIRS = (
    HEAD
    + """
TEXT = "the quick brown fox jumps over the lazy dog and the quick cat sleeps under the lazy dog".split()
COUNTS = collections.Counter(TEXT * 4)

def words(n):
    for word in TEXT:
        yield word, 1

def total(key, values):
    return sum(values)

def flat(found):
    return dict(itertools.chain(*found))

def counted():
    answers = []
    for kind, sort, combiner, partitions in [
        ("hash", False, None, 3), ("hash", True, total, 3), ("range", False, total, 3), ("range", True, None, None),
        (last_letter, True, total, 3),
    ]:
        shuffle = Shuffle(kind=kind, sort=sort, combiner=combiner, partitions=partitions)
        job = executor.map_reduce(words, range(4), total, shuffle=shuffle)
        found = job.get_result()
        keys = [[key for key, _ in each] for each in found]
        summary = job.summary
        answers.append([
            flat(found) == COUNTS,
            sum(map(len, found)) == len(COUNTS),
            all(each == sorted(each) for each in keys) if sort else None,
            list(itertools.chain(*keys)) == sorted(COUNTS) if kind == "range" else None,
            summary.rows == (4 * len(set(TEXT)) if combiner else 4 * len(TEXT)),
            summary.rows_mapped == 4 * len(TEXT),
        ])
    return answers

def last_letter(keys, partitions):
    assert isinstance(keys, list)
    return [ord(key[-1]) % partitions for key in keys]

def in_the_order_of_mappers():
    def numbered(n):
        for number in range(3000):
            yield number % 3, (n, number)
    def ascending(key, values):
        return values == sorted(values), len(values)
    return flat(executor.map_reduce(numbered, range(3), ascending, shuffle=Shuffle(partitions=2)).get_result())

def keys_of_all_sorts():
    keys = [("a", 1), ("a", 2), ("b", None), None, True, 2.5, b"bytes", "text", 10**30, -1, (), (("nested",), 1)]
    def several(n):
        return [(key, {"value": n}) for key in keys]  # a list will do
    def those(key, values):
        return [each["value"] for each in values]
    found = flat(executor.map_reduce(several, range(2), those, shuffle=Shuffle(partitions=3)).get_result())
    return list(found.values()) == [[0, 1]] * len(keys) and set(found) == set(keys)

def tuples_in_order():
    def several(n):
        for number in range(10):
            yield (number % 3, "even" if number % 2 == 0 else "odd"), number
    job = executor.map_reduce(several, range(2), total, shuffle=Shuffle(sort=True, partitions=2))
    return [[each[0] for each in found] for found in job.get_result()]

def no_number():
    answers = []
    for kind, sort, partitions in [("hash", True, 1), ("range", True, 2), ("hash", False, 2)]:
        def several(n):
            for number in range(4):
                yield float(number), n
                yield float("nan"), n
        job = executor.map_reduce(several, range(2), total,
            shuffle=Shuffle(kind=kind, sort=sort, partitions=partitions))
        found = [(str(key), result) for each in job.get_result() for key, result in each]
        answers.append(found if sort else sorted(found))
    return answers

def values_of_all_sorts():
    values = [1, "text", None, [1, 2], np.arange(3), pd.DataFrame({"x": [1]}), {"a"}, 2**70, b"", math.inf]
    def one_of_each(n):
        for number, value in enumerate(values):
            yield number, value
    def kind(key, values):
        return type(values[0]).__name__, len(values)
    shuffle = Shuffle(partitions=2, sort=True)
    found = flat(executor.map_reduce(one_of_each, range(2), kind, shuffle=shuffle).get_result())
    return [found[number] == (type(value).__name__, 2) for number, value in enumerate(values)]

def combined_many_times():
    def many(n):
        for number in range(10_000):
            yield "one", 1
        yield "other", 5
    job = executor.map_reduce(many, range(3), total, shuffle=Shuffle(combiner=total, partitions=1, sort=True))
    return job.get_result(), job.summary.rows, job.summary.rows_mapped

def word_count_of_tables():
    def count(n):
        return pd.DataFrame({"word": TEXT, "count": 1})
    def added(frame):
        return frame.groupby("word", as_index=False)["count"].sum()
    job = executor.map_reduce(count, range(4), added, shuffle=Shuffle(by="word", combiner=added, partitions=2))
    found = pd.concat(job.get_result())
    return dict(zip(found["word"], found["count"].tolist())) == COUNTS, job.summary.rows, job.summary.rows_mapped

def of_tables_in_parts():
    def count(n):
        for start in range(0, len(TEXT), 6):
            yield pa.table({"word": TEXT[start:start + 6], "count": [1] * len(TEXT[start:start + 6])})
    def added(table):
        return table.group_by("word").aggregate([("count", "sum")]).rename_columns(["word", "count"])
    job = executor.map_reduce(count, range(4), added, shuffle=Shuffle(by="word", combiner=added, kind="range"))
    found = pa.concat_tables(job.get_result()).to_pydict()
    return dict(zip(found["word"], found["count"])) == COUNTS, job.summary.rows, job.summary.rows_mapped

def no_pairs():
    return executor.map_reduce(lambda n: None, range(2), total, shuffle=Shuffle(partitions=2)).get_result()

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([counted, in_the_order_of_mappers, keys_of_all_sorts, tuples_in_order, no_number, values_of_all_sorts,
         combined_many_times, word_count_of_tables, of_tables_in_parts, no_pairs])
"""
)


def test_pairs_and_combiners(run: Callable[..., str]) -> None:
    answers = json.loads(run(PAIRS).splitlines()[-1])
    assert answers["counted"] == [
        [True, True, None, None, True, True],
        [True, True, True, None, True, True],
        [True, True, None, True, True, True],
        [True, True, True, True, True, True],
        [True, True, True, None, True, True],
    ]
    assert answers["in_the_order_of_mappers"] == {str(key): [True, 3000] for key in range(3)}
    assert answers["keys_of_all_sorts"] is True
    keys = [list(each) for each in itertools.product(range(3), ("even", "odd"))]
    assert sorted(itertools.chain(*answers["tuples_in_order"])) == keys
    assert all(each == sorted(each) for each in answers["tuples_in_order"])
    assert answers["no_number"] == [[["0.0", 1], ["1.0", 1], ["2.0", 1], ["3.0", 1], ["nan", 4]]] * 3
    assert answers["values_of_all_sorts"] == [True] * 10
    assert answers["combined_many_times"] == [[[["one", 30_000], ["other", 15]]], 6, 30_003]
    assert answers["word_count_of_tables"] == [True, 48, 72]
    assert answers["of_tables_in_parts"] == [True, 48, 72]
    assert answers["no_pairs"] == [[], []]


CALLS = (
    HEAD
    + """
def with_everything(n, offset, scale=1, id=None, storage=None):
    assert storage.put_object and storage.bucket
    return pa.table({"k": [n], "id": [id], "value": [scale * n + offset]})

def reduce_with_everything(table, power, id, storage, bonus=0):
    return id, storage.bucket != "", [value ** power + bonus for value in table["value"].to_pylist()]

def arguments():
    return executor.map_reduce(with_everything, [1, 2, 3], reduce_with_everything, extra_args=(10,),
        extra_args_reduce=(2,), shuffle=Shuffle(by="k", kind="range", partitions=3)).get_result()

def arguments_by_name():
    data = [{"n": n, "offset": 0, "scale": 5} for n in (1, 2)]
    more = {"power": 1, "bonus": 3}
    return executor.map_reduce(with_everything, data, reduce_with_everything, extra_args_reduce=more,
        shuffle=Shuffle(by="k", kind="range", partitions=2)).get_result()

def arguments_of_pairs():
    def several(n, factor):
        yield n % 2, n * factor
    def added(key, values, offset):
        return sum(values) + offset
    return sorted(itertools.chain(*executor.map_reduce(several, range(4), added, extra_args=(10,),
        extra_args_reduce=(1000,), shuffle=Shuffle(partitions=2)).get_result()))

def pairs_with_everything():
    def several(n):
        yield n % 3, n
        yield (n % 3, math.nan), n
    def at_the_end(key, values, offset, storage, id):
        return sum(values) + offset, id, storage.bucket != ""
    def at_the_beginning(storage, id, key, values, offset=5):
        return sum(values) + offset, id, storage.bucket != ""
    answers = []
    for reducer, extra in ((at_the_end, (1000,)), (at_the_end, {"offset": 7}), (at_the_beginning, None)):
        found = executor.map_reduce(several, range(6), reducer, extra_args_reduce=extra,
            shuffle=Shuffle(partitions=2)).get_result()
        here = all(id == number for number, each in enumerate(found) for _, (_, id, _) in each)
        stored = all(has for each in found for _, (_, _, has) in each)
        answers.append([sorted(result for each in found for _, (result, _, _) in each), here, stored])
    return answers

def large_arguments():
    numbers = np.arange(500_000.0)
    def sliced(n, numbers):
        return pa.table({"k": numbers[n * 1000:(n + 1) * 1000], "seen": [int(numbers.flags.writeable)] * 1000})
    def added(table):
        return float(np.sum(table["k"].to_numpy())), max(table["seen"].to_pylist())
    found = executor.map_reduce(sliced, range(3), added, extra_args=(numbers,), shuffle=Shuffle(by="k", partitions=1))
    return found.get_result(), float(numbers[:3000].sum())

def put_texts(bucket):
    for number in range(3):
        lines = "".join(f"{number},{line % 10}\\n" for line in range(1000))
        executor.storage.put_object(bucket, f"in/{number}.csv", lines.encode())

def objects(**options):
    def parsed(obj, scale):
        lines = obj.data_stream.read().decode().split()
        return pa.table({"k": [int(line.split(",")[1]) * scale for line in lines], "from": [obj.key] * len(lines)})
    def counted(table):
        keys = table["k"].to_pylist()
        return [[key, keys.count(key)] for key in sorted(set(keys))], len(set(table["from"].to_pylist()))
    bucket = executor.internal_storage.bucket
    job = executor.map_reduce(parsed, options.pop("data", f"shm://{bucket}/in/"), counted, extra_args=(10,), **options,
        shuffle=Shuffle(by="k", kind="range", partitions=2, sort=True))
    found = job.get_result()
    return list(itertools.chain(*[keys for keys, _ in found])), [number for _, number in found], job.summary.mappers

def whole_objects():
    put_texts(executor.internal_storage.bucket)
    return objects()

def parts_of_objects():
    return objects(obj_chunk_number=2, data=[f"shm://{executor.internal_storage.bucket}/in/{n}.csv" for n in range(3)])

def large_results():
    def big(n):
        return pa.table({"k": [n] * 300_000, "x": np.arange(300_000.0)})
    def both(table):
        return {"table": table, "array": table["x"].to_numpy() + 1}
    results = executor.map_reduce(big, range(2), both, shuffle=Shuffle(by="k", kind="range", partitions=2)).get_result()
    answers = []
    for number, each in enumerate(results):
        values = each["table"]["x"].chunk(0).to_numpy(zero_copy_only=True)
        answers.append([
            each["table"]["k"][0].as_py() == number, mapped(each["array"].__array_interface__["data"][0]),
            mapped(values.__array_interface__["data"][0]), each["array"].flags.writeable, values.flags.writeable,
            float(each["array"].sum() - values.sum()),
        ])
    del each, results
    return answers

def mapped(address):
    # Whether the memory is a segment's: the kernel knows what is mapped there.
    for line in open("/proc/self/maps"):
        start, _, end = line.split()[0].partition("-")
        if int(start, 16) <= address < int(end, 16):
            return "sessions/" in line
    return False

def buffers_of(table):
    for name in table.column_names:
        for chunk in table[name].chunks:
            yield from [(name, buffer) for buffer in chunk.buffers() if buffer is not None and buffer.size]

def views():
    def big(n):
        random = np.random.default_rng(n)
        keys = random.integers(0, 10_000, 50_000)
        return pa.table({"k": keys, "x": random.random(50_000), "name": pa.array([f"n{key}" for key in keys])})
    def looked_at(table):
        return table.num_rows, sorted({(name, mapped(buffer.address)) for name, buffer in buffers_of(table)})
    def looked_at_each(batches):
        return [looked_at(table)[1] for table in batches][0]
    answers = {}
    for kind, sort, partitions in (("hash", False, 3), ("hash", False, 1), ("range", False, 3), ("hash", True, 3)):
        shuffle = Shuffle(by="k", kind=kind, sort=sort, partitions=partitions)
        found = executor.map_reduce(big, range(3), looked_at, shuffle=shuffle).get_result()
        answers[f"{kind} {sort} {partitions}"] = [sum(rows for rows, _ in found), [seen for _, seen in found]]
    shuffle = Shuffle(by="k", partitions=2, deliver="batches")
    answers["batches"] = executor.map_reduce(big, range(3), looked_at_each, shuffle=shuffle).get_result()
    return answers

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([arguments, arguments_by_name, arguments_of_pairs, pairs_with_everything, large_arguments, whole_objects,
         parts_of_objects, large_results, views])
"""
)


def test_arguments_objects_and_views(run: Callable[..., str]) -> None:
    answers = json.loads(run(CALLS).splitlines()[-1])
    assert answers["arguments"] == [[0, True, [121]], [1, True, [144]], [2, True, [169]]]
    assert answers["arguments_by_name"] == [[0, True, [8]], [1, True, [13]]]
    assert answers["arguments_of_pairs"] == [[0, 1020], [1, 1040]]
    sums = [3, 3, 5, 5, 7, 7]
    assert answers["pairs_with_everything"] == [
        [[offset + each for each in sums], True, True] for offset in (1000, 7, 5)
    ]
    results, total = answers["large_arguments"]
    assert results == [[total, 0]]
    counts = [[10 * key, 300] for key in range(10)]
    assert answers["whole_objects"] == [counts, [3, 3], 3]
    assert answers["parts_of_objects"] == [counts, [3, 3], 6]
    assert answers["large_results"] == [[True, True, True, False, False, 300_000.0]] * 2
    seen = [[column, True] for column in ("k", "name", "x")]  # those that are sorted are gathered into a segment
    for name, found in answers["views"].items():
        if name != "batches":
            assert found[0] == 150_000, name
            found = found[1]
        assert found == [seen] * len(found), name


FUTURES = (
    HEAD
    + """
def small(n, rows=100):
    return pa.table({"k": list(range(rows)), "n": [n] * rows})

def slow(n):
    time.sleep(0.4)
    return small(n)

def held(n):
    while not os.path.exists("go on"):
        time.sleep(0.01)
    return small(n)

def size(table):
    return table.num_rows

def partitions_are_a_sequence():
    job = executor.map_reduce(small, range(3), size, shuffle=Shuffle(by="k", kind="range", partitions=4))
    first = job[0].result()
    results = [future.result() for future in job]
    return {
        "length": len(job), "numbers": [future.partition for future in job], "slice": len(job[1:3]),
        "last": job[-1].partition, "rows": sum(results),
        "in order": results == job.get_result() and results[0] == first,
        "done": job.done and all(f.done and f.ready and f.success and not f.error for f in job),
        "shown": [repr(job[0]), repr(job).partition(" of ")[0]], "executor's": executor.get_result(job) == results,
        "each": executor.get_result(list(job)) == results, "one": executor.get_result(job[1]) == [results[1]],
    }

def it_returns_at_once():
    job = executor.map_reduce(held, range(2), size, shuffle=Shuffle(by="k", partitions=2))
    done = job.done or job[0].done
    waited = job.wait(0.05)
    outcomes = []
    for wait in (lambda: job.get_result(timeout=0.05), lambda: job[0].result(timeout=0.05)):
        try:
            wait()
        except TimeoutError as error:
            outcomes.append(str(error).partition(" after ")[2])
    open("go on", "w").close()
    return done, waited, outcomes, sum(job.get_result(timeout=60)), job.wait()

def chosen_number():
    job = executor.map_reduce(slow, range(2), size, shuffle=Shuffle(by="k"))
    number = len(job)  # waits for the mappers
    return number >= 1, sum(each.result() for each in job)

def executor_waits():
    job = executor.map_reduce(slow, range(2), size, shuffle=Shuffle(by="k", partitions=3))
    done, pending = executor.wait(job)
    everything = executor.wait()
    first, again = executor.get_result(), executor.get_result()
    return len(done), len(pending), [len(each) for each in everything], first == job.get_result(), again

def all_at_once():
    # Results of everything that has not been had: those of other calls first.
    executor.map(lambda x: -x, [1, 2])
    for number in (2, 3):
        executor.map_reduce(small, range(number), size, shuffle=Shuffle(by="k", kind="range", partitions=1))
    return executor.get_result(), executor.get_result()

def in_threads():
    found = {}
    def go(number):
        job = executor.map_reduce(small, range(number), size, extra_args=(50,), shuffle=Shuffle(by="k", partitions=2))
        found[number] = sum(job.get_result())
    threads = [threading.Thread(target=go, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(1, 5)]

def summary():
    def more(n):
        return pa.table({"k": np.arange(10_000) % 4, "v": np.arange(10_000)})
    job = executor.map_reduce(more, range(3), size, shuffle=Shuffle(by="k", kind="range", partitions=2))
    found = job.summary  # waits
    numbers = found.to_dict()
    times = [numbers.pop(name) for name in ("map_s", "commit_s", "reduce_s", "total_s")]
    return {
        **numbers, "peak_bytes": numbers["peak_bytes"] > numbers["exchanged_bytes"],
        "lines": str(found).count("\\n") + 1,
        "times": all(0 < each < 60 for each in times) and abs(sum(times[:3]) - times[3]) < 1e-9,
    }

def maps():
    return [line for line in open("/proc/self/maps") if "/sessions/" in line]

def results_that_are_dropped():
    # Their memory is free as soon as nobody has them, whatever the executor has done and still does.
    def whole_table(table):
        return table
    executor.clean()
    before = len(maps())
    answers = []
    for how in (lambda job: job.get_result(), executor.get_result, lambda job: executor.get_result()):
        tables = how(executor.map_reduce(small, range(2), whole_table, extra_args=(100_000,),
            shuffle=Shuffle(by="k", kind="range", sort=True, partitions=2)))
        held = len(maps()) - before
        del tables
        executor.map_reduce(small, range(2), size, shuffle=Shuffle(by="k", partitions=1)).get_result()
        answers.append([held, len(maps()) - before])
    return answers

def nothing_is_left():
    return left(executor)

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([partitions_are_a_sequence, it_returns_at_once, chosen_number, executor_waits, all_at_once, in_threads, summary,
         results_that_are_dropped, nothing_is_left])
"""
)


def test_futures_and_summary(run: Callable[..., str]) -> None:
    answers = json.loads(run(FUTURES).splitlines()[-1])
    sequence = answers["partitions_are_a_sequence"]
    assert sequence.pop("shown") == ["<PartitionFuture 0, done>", "<Partitions"]
    assert sequence == {
        "length": 4,
        "numbers": [0, 1, 2, 3],
        "slice": 2,
        "last": 3,
        "rows": 300,
        **dict.fromkeys(["in order", "done", "executor's", "each", "one"], True),
    }
    assert answers["it_returns_at_once"] == [False, False, ["0.05 seconds"] * 2, 200, True]
    assert answers["chosen_number"] == [True, 200]
    assert answers["executor_waits"] == [3, 0, [3, 0], True, []]
    assert answers["all_at_once"] == [[-1, -2, 200, 300], []]
    assert answers["in_threads"] == [50, 100, 150, 200]
    assert answers["summary"] == {
        "mappers": 3,
        "partitions": 2,
        "rows_mapped": 30_000,
        "rows": 30_000,
        "exchanged_bytes": 480_000,
        "spilled_bytes": 0,
        "largest_rows": 15_000,
        "skew": 1.0,
        "retried": 0,
        "backups": 0,
        "peak_bytes": True,
        "lines": 7,
        "times": True,
    }
    assert answers["results_that_are_dropped"] == [[2, 0]] * 3
    assert answers["nothing_is_left"] == []


ERRORS = (
    HEAD
    + """
from theirs import OfTheUser, same

class OfTheProgram(Exception):
    pass

def outcome(mapper, reducer, mappers=2, data=None, **options):
    shuffle = options.pop("shuffle", None)
    try:
        shuffle = Shuffle(**shuffle) if isinstance(shuffle, dict) else shuffle
        job = executor.map_reduce(mapper, data or range(mappers), reducer, shuffle=shuffle, **options)
        return f"it came to {job.get_result(timeout=60)}"
    except Exception as error:
        same = " (of the user)" if isinstance(error, OfTheUser) else ""
        return f"{type(error).__name__}{same}: {error}"

def small(n):
    return pa.table({"k": [n, n + 1], "v": [1.5, 2.5], "list": [[1], [2]]})

def size(table):
    return table.num_rows

def total(key, values):
    return sum(values)

def odd_column(n):
    return pd.DataFrame({"k": [n], "v": ["text"] if n == 1 else [n]})

def one_less(n):
    return pa.table({"k": [n]}) if n == 1 else pa.table({"k": [n], "v": [n]})

def one_more(n):
    return pa.table({"k": [n], "v": [n]}) if n == 1 else pa.table({"k": [n]})

def odd_within(n):
    yield pa.table({"k": [n], "v": [n]})
    yield pa.table({"k": [n], "v": [str(n)]})

def raises(n):
    if n == 1:
        raise OfTheUser(f"mapper {n} says no")
    return small(n)

def raises_its_own(n):
    raise OfTheProgram("of no module")

def raises_late(n):
    yield small(n)
    raise OfTheUser("after a table")

def no_reducer(table):
    raise OfTheUser("the reducer says no")

def mixed_keys(n):
    yield (n if n else "text"), 1

def mixed_in_one(n):
    yield 1, 1
    yield "text", 1

def refuse(keys, partitions):
    raise OfTheUser("no idea")

def bare(n):
    return n

def pair_of_three(n):
    yield 1, 2, 3

def list_as_key(n):
    yield [1], 1

def object_as_key(n):
    yield decimal.Decimal(1), 1

def gives(value):
    return lambda keys, partitions: value

def by_k(**more):
    return {"by": "k", "partitions": 2, **more}

def outcomes():
    tables = {
        "missing column": by_k(by="z"),
        "nested key": by_k(by="list"),
        "nested key in order": by_k(by="list", kind="range"),
        "out of range": by_k(kind=gives([0, 2])),
        "negative": by_k(kind=gives([-1, 0])),
        "not integers": by_k(kind=gives([0.0, 1.0])),
        "wrong shape": by_k(kind=gives([0])),
        "raising": by_k(kind=refuse),
        "by=[]": {"by": []},
        "by=5": {"by": 5},
        "by twice": {"by": ["k", "k"]},
        "kind": by_k(kind="hahs"),
        "deliver": by_k(deliver="panda"),
        "deliver pairs": {"deliver": "arrow"},
        "partitions": by_k(partitions=0),
        "many partitions": by_k(partitions=10**6),
        "retries": by_k(retries=-1),
        "combiner": by_k(combiner="sum"),
    }
    found = {name: outcome(small, size, shuffle=shuffle) for name, shuffle in tables.items()}
    for name, mapper, reducer, shuffle in [
        ("odd column", odd_column, len, by_k()),
        ("odd column by range", odd_column, len, by_k(kind="range", by="v")),
        ("one less", one_less, size, by_k()),
        ("one more", one_more, size, by_k()),
        ("odd within", odd_within, size, by_k()),
        ("mapper", raises, size, by_k()),
        ("mapper late", raises_late, size, by_k()),
        ("its own", raises_its_own, size, by_k()),
        ("reducer", no_reducer and small, no_reducer, by_k()),
        ("reducer of pairs", lambda n: [(1, 2)], lambda key, values: 1 // 0, {"partitions": 2}),
        ("unorderable keys", mixed_keys, total, {"partitions": 1, "sort": True}),
        ("ranges of several types", mixed_in_one, total, {"partitions": 1, "kind": "range"}),
        ("ranges of other types", mixed_keys, total, {"partitions": 1, "kind": "range"}),
        ("no table", bare, size, by_k()),
        ("no pairs", bare, total, {"partitions": 2}),
        ("a triple", pair_of_three, total, {"partitions": 2}),
        ("pairs for tables", mixed_keys, size, by_k()),
        ("tables for pairs", small, total, {"partitions": 2}),
        ("unhashable key", list_as_key, total, {"partitions": 2}),
        ("other key", object_as_key, total, {"partitions": 2}),
        ("combiner breaks", small, size, by_k(combiner=lambda table: table.select(["v"]))),
        ("no parameter", small, lambda: 0, by_k()),
        ("one parameter", lambda n: [(1, 1)], lambda key: 0, {"partitions": 2}),
        ("unset parameter", small, lambda table, more: 0, by_k()),
    ]:
        found[name] = outcome(mapper, reducer, shuffle=shuffle)
    found["obj_reduce_by_key"] = outcome(small, size, shuffle=by_k(), obj_reduce_by_key=True)
    found["not a shuffle"] = outcome(small, size, shuffle="hash")
    found["afterwards"] = outcome(small, size, shuffle=by_k(kind="range", combiner=same))
    return found

def without_raising():
    job = executor.map_reduce(raises, range(2), size, shuffle=Shuffle(by="k", partitions=2))
    found = job.get_result(throw_except=False)
    return found, job.done, [each.error for each in job], repr(job[0]), executor.get_result(job, throw_except=False)

def unnumbered():
    job = executor.map_reduce(raises, range(2), size, shuffle=Shuffle(by="k"))
    answers = []
    ways = [lambda: len(job), lambda: job[0], lambda: job.summary, job.get_result, lambda: executor.wait(job)]
    for way in ways:
        try:
            answers.append(way())
        except OfTheUser as error:
            answers.append(str(error))
    return answers, executor.get_result(job, throw_except=False)

def nothing_is_left():
    return left(executor)

if __name__ == "__main__":
    executor = shm.FunctionExecutor(log_level=None)
    ask([outcomes, without_raising, unnumbered, nothing_is_left])
"""
)

WORDS = {
    "missing column": "PartitionerError: cannot partition by column 'z': there is none of that name, only 'k', 'v'",
    "nested key": "PartitionerError: cannot partition by column 'list': values of type list<",
    "nested key in order": "cannot be ordered",
    "out of range": "it gave 2 for row 1, with partitions 0 to 1",
    "negative": "it gave -1 for row 0, with partitions 0 to 1",
    "not integers": "it gave float64, not integers",
    "wrong shape": "it gave shape (1,) for 2 rows",
    "raising": "PartitionerError: cannot partition by function refuse: it raised OfTheUser: no idea",
    "by=[]": "ConfigError: shuffle: by=[] names no columns",
    "by=5": "ConfigError: shuffle: by=5 names no columns",
    "by twice": "names a column twice",
    "kind": "ConfigError: shuffle: kind='hahs' is none of 'hash', 'range', or a function; did you mean 'hash'?",
    "deliver": "did you mean 'pandas'?",
    "deliver pairs": "deliver is for tables",
    "partitions": "partitions=0 is not a whole number from 1 to 65,536",
    "many partitions": "partitions=1000000 is not a whole number",
    "retries": "retries=-1 is not a whole number from 0",
    "combiner": "combiner='sum' is not a function",
    "odd column": "SchemaMismatchError: mapper 1 gives column 'v' as large_string, mapper 0 as int64",
    "odd column by range": "SchemaMismatchError: mapper 1 gives column 'v' as large_string, mapper 0 as int64",
    "one less": "SchemaMismatchError: mapper 1 gives column 'v' as no column, mapper 0 as int64",
    "one more": "SchemaMismatchError: mapper 1 gives column 'v' as int64, mapper 0 as no column",
    "odd within": "gives column 'v' as large_string, mapper ",
    "mapper": "OfTheUser (of the user): mapper 1 says no",
    "mapper late": "OfTheUser (of the user): after a table",
    "its own": "Exception: of no module\n",  # as from Lithops' map: a class of the program itself is not pickled
    "reducer": "OfTheUser (of the user): the reducer says no",
    "reducer of pairs": "ZeroDivisionError: ",
    "unorderable keys": "PartitionerError: cannot partition by key: the keys cannot be put in order: '<' not supported",
    "ranges of several types": " gave keys of several types, or tuples, which have no ranges",
    "ranges of other types": "SchemaMismatchError: mapper 1 gives column 'key' as int64, mapper 0 as large_string",
    "no table": " gave a builtins.int; with Shuffle(by=...) a map function returns or yields pandas, Polars or Arrow",
    "no pairs": " gave a int; with Shuffle(by=None) it yields (key, value)",
    "a triple": " gave a tuple; with Shuffle(by=None) it yields (key, value)",
    "pairs for tables": " gave a builtins.tuple; with Shuffle(by=...)",
    "tables for pairs": " gave a Table; with Shuffle(by=None) it yields (key, value)",
    "unhashable key": " gave [1], which is not hashable",
    "other key": "keys are numbers, text, bytes, None, or tuples of them",
    "combiner breaks": "cannot partition by column 'k': there is none of that name, only 'v'",
    "no parameter": "TypeError: <lambda>() takes 0 arguments, and 1 come",
    "one parameter": "TypeError: <lambda>() takes 1 arguments, and 2 come",
    "unset parameter": "TypeError: missing a required argument: 'more'",
    "obj_reduce_by_key": "UnsupportedError: obj_reduce_by_key gives each object a reducer",
    "not a shuffle": "ConfigError: shuffle='hash' is no Shuffle",
    "afterwards": "it came to [3, 1]",
}


def test_errors_name_what_is_wrong(run: Callable[..., str], tmp_path: Path) -> None:
    theirs = "class OfTheUser(Exception):\n    pass\n\ndef same(table):\n    return table\n"
    (tmp_path / "theirs.py").write_text(theirs)
    answers = json.loads(run(ERRORS).splitlines()[-1])
    found = answers["outcomes"]
    assert found.keys() == WORDS.keys()
    wrong = {name: found[name] for name, words in WORDS.items() if words not in found[name]}
    assert wrong == {}
    failed = [[None, None], True, [True, True], "<PartitionFuture 0, failed>", [None, None]]
    assert answers["without_raising"] == failed
    assert answers["unnumbered"] == [["mapper 1 says no"] * 5, []]
    assert answers["nothing_is_left"] == []


ENDS = (
    HEAD
    + """
def here():
    with open("pids", "a") as file:
        file.write(f"{os.getpid()}\\n")

def workers():
    # Those that run, or have run, one of the functions, and are there. (Fresh ones wait for the next job.)
    pids = open("pids").read().split() if os.path.exists("pids") else []
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]

def mapper(n, seconds):
    here()
    time.sleep(seconds)
    return pa.table({"k": list(range(1000)), "v": [1.0] * 1000})

def reducer(table, seconds):
    here()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    time.sleep(seconds)
    return table.num_rows

def begin(stage):
    mapping, reducing = (600, 0) if stage == "map" else (0, 600)
    job = executor.map_reduce(mapper, range(4), reducer, extra_args=(mapping,), extra_args_reduce=(reducing,),
        shuffle=Shuffle(by="k", partitions=None if stage == "map" else 4))
    if stage == "reduce":
        eventually(lambda: [key for key in left(executor) if "manifest" in key])
    eventually(workers if stage == "map" else lambda: len(workers()) > 1)
    return job

def eventually(true):
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)

def what_is_left():
    segments = left(executor)  # at once; workers are killed, which takes the kernel a moment
    eventually(lambda: not workers())
    return segments, [each.name for each in threading.enumerate() if each.name.startswith("shuffle-")]

def say_when_it_waits(thread):
    def waits():
        frame = sys._current_frames()[thread]
        while frame is not None and frame.f_code.co_name != "get_result":
            frame = frame.f_back
        return frame is not None
    eventually(waits)
    print("ready", flush=True)

def cancelled():
    answers = []
    for stage in ("map", "reduce", "map"):
        job = begin(stage)
        began = time.perf_counter()
        job.cancel()
        seconds = time.perf_counter() - began
        try:
            job.get_result()
        except ShmError as error:
            said = f"{type(error).__name__}: {re.sub('shuffle .* was', 'it was', str(error))}"
        job.cancel()
        answers.append([said, seconds < 60, job.done, what_is_left()])
    return answers

def afterwards():
    shuffle = Shuffle(by="k", partitions=2)
    job = executor.map_reduce(mapper, [0], reducer, extra_args=(0,), extra_args_reduce=(0,), shuffle=shuffle)
    return sum(job.get_result())

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as at a terminal, whatever the tests run under
    executor = shm.FunctionExecutor(log_level=None)
    how = sys.argv[1]
    if how == "cancel":
        ask([cancelled, afterwards])
        sys.exit()
    job = begin(sys.argv[2])
    if how == "not waited for":
        print("ready", flush=True)
        sys.exit()
    threading.Thread(target=say_when_it_waits, args=(threading.get_ident(),)).start()
    if how.startswith("interrupted"):
        try:
            executor.get_result(job) if how == "interrupted" else job.get_result()
        except KeyboardInterrupt:
            print(json.dumps([job.done, what_is_left(), afterwards()]), flush=True)
    else:
        job.get_result()
"""
)


def test_a_shuffle_is_cancelled(run: Callable[..., str]) -> None:
    answers = json.loads(run(ENDS, "cancel").splitlines()[-1])
    assert answers == {"cancelled": [["ShuffleError: it was cancelled", True, True, [[], []]]] * 3, "afterwards": 1000}


@pytest.mark.parametrize("stage", ["map", "reduce"])
@pytest.mark.parametrize("how", ["interrupted", "interrupted, without the executor"])
def test_an_interrupted_wait_ends_the_shuffle(
    start: Callable[..., "subprocess.Popen[str]"], how: str, stage: str
) -> None:
    process = start(ENDS, how, stage)
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == [True, [[], []], 1000]
    assert process.wait(100) == 0


@pytest.mark.parametrize(
    ("how", "stage"), [("given up", "reduce"), ("not waited for", "map"), ("not waited for", "reduce")]
)
def test_a_client_that_ends_leaves_nothing(
    start: Callable[..., "subprocess.Popen[str]"], settings: StoreSettings, how: str, stage: str
) -> None:
    process = start(ENDS, how, stage)
    if how == "given up":
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
    assert process.wait(100) == (-signal.SIGINT if how == "given up" else 0)
    assert not Path(str(settings.directory)).exists()


PLACES = (
    HEAD
    + """
def frame_of(n):
    random = np.random.default_rng(n)
    keys = random.integers(0, 500, 4000)
    frame = pd.DataFrame({"k": keys, "name": [f"n{key % 13}" for key in keys], "id": np.arange(4000) + 4000 * n})
    return frame

def listed(frame):
    return frame.values.tolist()

def exchanged(kind, reducer=listed, **more):
    shuffle = Shuffle(by=["name", "k"], kind=kind, partitions=2, sort=True, **more)
    job = executor.map_reduce(frame_of, range(2), reducer, shuffle=shuffle)
    return job.get_result(), job.summary.rows, job.summary.retried

def by_hash():
    return exchanged("hash")

def by_range():
    return exchanged("range")

def by_function():
    def by_name(keys, partitions):
        return pc.cast(pc.utf8_slice_codeunits(keys["name"], 1), pa.int64()).to_numpy() % partitions
    return exchanged(by_name)

def in_batches():
    def ids(batches):
        return [row for batch in batches for row in batch["id"].to_pylist()]
    return exchanged("range", ids, deliver="batches")

def of_pairs():
    def several(n):
        for number in range(100):
            yield f"w{number % 9}", n
    def described(key, values):
        return max(values), len(values)
    return executor.map_reduce(several, range(2), described, shuffle=Shuffle(partitions=2, sort=True)).get_result()

def nothing_is_left():
    return left(executor)

if __name__ == "__main__":
    if len(sys.argv) > 2:
        os.environ["AWS_ENDPOINT_URL"] = sys.argv[2]
        # rclone gives the checksum of the whole object with a part of it, which Lithops' own client takes amiss.
        os.environ["AWS_RESPONSE_CHECKSUM_VALIDATION"] = "when_required"
    for config, questions in json.loads(sys.argv[1]):
        if "localhost" in config:
            config["localhost"]["runtime"] = sys.executable
        with shm.FunctionExecutor(config=config, log_level=None) as executor:
            ask([*[globals()[name] for name in questions.split()], nothing_is_left])
"""
)

S3 = {"region": "us-east-1", "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
# Clients of S3 and the interpreters of Lithops' localhost take seconds to start, so that each place does a part.
EVERYTHING = "by_hash by_range by_function in_batches of_pairs"
EVERYWHERE: dict[str, list[tuple[str, dict[str, str]]]] = {
    "rclone": [
        ("of_pairs", {"shuffle_engine": "boto3"}),
        ("by_hash", {"shuffle_engine": "s3fs", "shuffle_format": "parquet", "shuffle_compression": "zstd"}),
        ("by_function", {"shuffle_engine": "lithops"}),
    ],
    "moto": [
        ("in_batches", {"shuffle_engine": "boto3", "shuffle_format": "parquet", "shuffle_compression": "none"}),
        ("by_range", {"shuffle_engine": "s3fs", "shuffle_compression": "none"}),
    ],
    "localhost": [("by_hash", {})],
}


def test_all_places_give_the_same(
    run: Callable[..., str], section: dict[str, Any], rclone_server: Server, moto_server: Server
) -> None:
    """Each place with all its engines and formats from one client."""
    servers = {"rclone": rclone_server, "moto": moto_server}
    # Loaded once for all workers, each of which would take a second for it.
    section = {**section, "preload": ["numpy", "pandas", "pyarrow", "boto3", "s3fs", "aiobotocore.session"]}

    def config(place: str, settings: dict[str, str]) -> dict[str, Any]:
        found: dict[str, Any] = {"lithops": {"backend": "shm", "storage": place}, "shm": {**section, **settings}}
        if place == "localhost":
            found["lithops"]["backend"], found["localhost"] = "localhost", {}
        elif place in servers:
            found["lithops"]["storage"] = "aws_s3"
            found.update(aws=S3, aws_s3={"storage_bucket": new_bucket(servers[place].url)})
        if place != "shm":
            found["lithops"]["data_cleaner"] = False  # a process that takes longer than the job
        return found

    def answers(place: str, jobs: list[tuple[str, dict[str, str]]]) -> list[dict[str, Any]]:
        asked = json.dumps([(config(place, settings), questions) for questions, settings in jobs])
        lines = run(PLACES, asked, *([servers[place].url] if place in servers else [])).splitlines()
        return [json.loads(line) for line in lines[-len(jobs) :]]

    (in_memory,) = answers("shm", [(EVERYTHING, {})])
    for kind in ("by_hash", "by_range", "by_function"):
        found, rows, retried = in_memory[kind]
        ids = sorted(row[2] for row in itertools.chain(*found))
        assert (ids, rows, retried) == (list(range(8000)), 8000, 0)
    with ThreadPoolExecutor(2) as threads:
        everywhere = list(threads.map(lambda place: answers(place, EVERYWHERE[place]), EVERYWHERE))
    for place, answered in zip(EVERYWHERE, everywhere, strict=True):
        for found, (questions, settings) in zip(answered, EVERYWHERE[place], strict=True):
            assert found.pop("nothing_is_left") == [], (place, settings)
            assert found == {name: in_memory[name] for name in questions.split()}, (place, settings)
