"""The store, driven by random operations from two sessions, always agrees with a dict."""

import secrets
import shutil
from pathlib import Path

from effort import times
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from lithops_shm.config import StoreSettings
from lithops_shm.store import Store

buckets = st.sampled_from(["b", "../c"])
keys = st.sampled_from(["a", "a/b", "a/b/c", "a//", "/", "..", "é", ".x", "k" * 3000, "k" * 3000 + "/a"])
bodies = st.sampled_from([b"", b"x", b"y" * 5000, b"z" * 300_000, b"w" * 700_000])
stores = st.sampled_from([0, 1, 2])


class StoreIsADict(RuleBasedStateMachine):
    """Two lifetimes of one directory, and a third store with a small budget, share one namespace."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"shm-test-{secrets.token_hex(4)}"
        common = {"directory": str(self.directory), "spill_directory": str(self.directory) + "-spill"}
        self.stores = [
            Store.open(StoreSettings(**common, budget_bytes=1 << 20)),
            Store.open(StoreSettings(**common, lifetime="kept")),
            Store.open(StoreSettings(**common, budget_bytes=1 << 20)),
        ]
        self.model: dict[tuple[str, str], bytes] = {}
        self.views: list[tuple[memoryview, bytes]] = []

    def teardown(self) -> None:
        self.views.clear()
        for store in self.stores:
            store.close()
        shutil.rmtree(self.directory)
        shutil.rmtree(str(self.directory) + "-spill", ignore_errors=True)

    @rule(store=stores, bucket=buckets, key=keys, body=bodies)
    def put(self, store: int, bucket: str, key: str, body: bytes) -> None:
        self.stores[store].put(bucket, key, body)
        self.model[bucket, key] = body

    @rule(store=stores, bucket=buckets, key=keys)
    def delete(self, store: int, bucket: str, key: str) -> None:
        assert self.stores[store].delete(bucket, key) == (self.model.pop((bucket, key), None) is not None)

    @rule(store=stores, bucket=buckets, key=keys)
    def attach(self, store: int, bucket: str, key: str) -> None:
        if (bucket, key) in self.model:
            self.views.append((self.stores[store].attach(bucket, key).view, self.model[bucket, key]))

    @rule(store=stores, bucket=buckets, prefix=st.sampled_from(["", "a", "a/", "a/b", "k", "/", "."]))
    def listing(self, store: int, bucket: str, prefix: str) -> None:
        expected = {
            key: len(body) for (where, key), body in self.model.items() if where == bucket and key.startswith(prefix)
        }
        if self.stores[store].has_bucket(bucket):
            found = {info.key: info.size for info in self.stores[store].list(bucket, prefix)}
            assert found == expected
            assert self.stores[store].keys(bucket, prefix) == sorted(expected)
        else:
            assert not expected

    @invariant()
    def contents_agree(self) -> None:
        for (bucket, key), body in self.model.items():
            assert self.stores[0].read(bucket, key) == body
            assert self.stores[1].head(bucket, key).size == len(body)

    @invariant()
    def mapped_views_never_change(self) -> None:
        for view, body in self.views:
            assert view == body


TestStoreIsADict = StoreIsADict.TestCase
TestStoreIsADict.settings = hypothesis_settings(max_examples=times(30, 300), stateful_step_count=30)
