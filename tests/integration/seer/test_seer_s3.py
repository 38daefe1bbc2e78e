"""Datasets in an S3: found, written, and read in pieces by ranges."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket

from lithops_shm.placement.storages import storages_of
from seer_integration.datasets.places import Location, Places
from seer_integration.datasets.sources import read, splits, survey
from seer_integration.errors import DatasetError
from seer_integration.operations import Scan

pacsv.read_csv(io.BytesIO(b"a\n1"))  # the first one opens a pipe for signals, which stays


@pytest.fixture
def place(rclone_server: Server) -> Iterator[tuple[Location, Places]]:
    bucket = new_bucket(rclone_server.url)
    section = {"endpoint": rclone_server.url, "access_key_id": ACCESS_KEY, "secret_access_key": SECRET_KEY}
    config = {"lithops": {"storage": "minio"}, "minio": {**section, "storage_bucket": bucket}}
    with storages_of(config) as storage_of, Places(storage_of) as places:
        yield Location("minio", bucket, "data/"), places


def test_a_dataset_in_s3(place: tuple[Location, Places]) -> None:
    base, places = place
    table = pa.table(
        {"n": range(20_000), "t": pa.array([f"line\n{number}" for number in range(20_000)], pa.large_string())}
    )
    text, groups = io.BytesIO(), io.BytesIO()
    pacsv.write_csv(table, text)
    pq.write_table(table, groups, row_group_size=1000)
    for name, data in (("a.csv", text), ("b.csv", text), ("c.parquet", groups), ("_other", text)):
        places.put(base.at(f"data/{name}"), [data.getbuffer()])
    found = survey(Scan("data/*.csv", base.bucket, header=True, storage="minio"), places, "shm")
    assert [each.key for each in found.objects] == ["data/a.csv", "data/b.csv"]
    assert all(each.version for each in found.objects)
    divided = splits(found, 100_000, places=places)
    parts = [read(found.source, each, places, ["t"])[0] for each in divided]
    assert len(divided) > 6
    assert pa.concat_tables(parts)["t"].to_pylist() == table["t"].to_pylist() * 2
    found = survey(Scan(f"minio://{base.bucket}/data/c.parquet"), places, "shm")
    parts = [read(found.source, each, places)[0] for each in splits(found, 50_000, places=places)]
    assert pa.concat_tables(parts).equals(table)
    assert places.put_if_absent(base.at("data/new"), [b"1"])
    assert not places.put_if_absent(base.at("data/new"), [b"2"])
    assert places.delete_prefix(base) == 5
    with pytest.raises(DatasetError, match=r"minio://.*/data/a\.csv: no such object"):
        places.read(base.at("data/a.csv"))
    with pytest.raises(DatasetError, match="no such bucket"):
        places.find(Location("minio", "no-such-bucket", "x"))
