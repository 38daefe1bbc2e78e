"""Collected rows, printed for people and written for programs."""

import csv
import datetime
import json
import os
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from seer_integration.cli.results import printed, written

UTC = datetime.timezone.utc
ROWS = pa.table(
    {
        "city": pa.array(["Rome", None, "Oslo\n"], pa.large_string()),
        "sold": [1, None, 3],
        "mean": [0.1 + 0.2, None, 1e300],
        "when": [datetime.datetime(2026, 1, 2, 3, 4, 5, 678, UTC), None, datetime.datetime(1969, 1, 1, tzinfo=UTC)],
    }
)


def test_rows_are_a_table_with_their_count(capsys: pytest.CaptureFixture[str]) -> None:
    printed(ROWS.select(["city", "sold", "mean"]), 20, "stage a:")
    assert capsys.readouterr().out.splitlines() == [
        "stage a:",
        "city    sold    mean",
        "Rome       1     0.3",
        "null    null    null",
        "Oslo\\n     3  1e+300",
        "(3 rows)",
    ]


def test_only_the_first_rows_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    printed(ROWS.select(["sold"]), 1)
    assert capsys.readouterr().out.splitlines() == ["sold", "   1", "(the first 1 of 3 rows)"]


@pytest.mark.parametrize("rows", [ROWS.slice(0, 0), pa.table({})])
def test_no_rows(rows: pa.Table, capsys: pytest.CaptureFixture[str]) -> None:
    printed(rows, 5)
    assert capsys.readouterr().out.splitlines()[-1] == "(0 rows)"


def test_columns_that_are_hard_to_print(capsys: pytest.CaptureFixture[str]) -> None:
    printed(pa.table({"a b\x1b": [1], "list": [[1, 2]], "exact": [Decimal("1.50")]}), 5)
    assert capsys.readouterr().out.splitlines()[1].split() == ["1", "[1,", "2]", "1.50"]


@pytest.mark.parametrize(("ending", "read"), [
    (".parquet", pyarrow.parquet.read_table),
    (".ARROW", lambda path: pa.ipc.open_file(str(path)).read_all()),
])  # fmt: skip
def test_what_is_written_is_what_was_collected(ending: str, read: object, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    written(ROWS, str(path))
    assert read(path) == ROWS  # type: ignore[operator]


def test_text_formats(tmp_path: Path) -> None:
    written(ROWS, str(tmp_path / "rows.csv"))
    with open(tmp_path / "rows.csv", newline="") as file:
        assert [row["sold"] for row in csv.DictReader(file)] == ["1", "", "3"]
    written(ROWS, str(tmp_path / "rows.jsonl"))
    first, second, _ = (json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines())
    assert first == {"city": "Rome", "sold": 1, "mean": 0.3, "when": "2026-01-02T03:04:05.000678Z"}
    assert second == dict.fromkeys(ROWS.column_names)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    written(ROWS, str(path))
    before = path.read_bytes()
    with pytest.raises(pa.ArrowInvalid):
        written(pa.table({"a": [[1]]}), str(path))  # CSV has no lists
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["rows.csv"]
