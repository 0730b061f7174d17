"""What every store promises, tested on each."""

from __future__ import annotations

import io
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from physlm.errors import CorruptObject, MissingObject, StoreError
from physlm.store import Store, open_store
from physlm.store.local import LocalStore


class Backing(ABC):
    """A store and a way past it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @abstractmethod
    def tamper(self, key: str, data: bytes) -> None:
        """Replace an object's bytes, not its checksum."""

    @abstractmethod
    def smuggle(self, key: str, data: bytes) -> None:
        """Make an object without a checksum."""


class LocalBacking(Backing):
    def tamper(self, key: str, data: bytes) -> None:
        path = Path(self.store.url) / key
        assert path.is_file()
        path.write_bytes(data)

    def smuggle(self, key: str, data: bytes) -> None:
        path = Path(self.store.url) / key
        path.parent.mkdir(parents=True)
        path.write_bytes(data)


class S3Backing(Backing):
    def __init__(self, store: Store, server: Any) -> None:
        from minio import Minio

        super().__init__(store)
        address = server.endpoint.removeprefix("http://")
        self.client = Minio(address, server.access_key, server.secret_key, secure=False, region="us-east-1")
        self.bucket, _, self.prefix = store.url.removeprefix("s3://").partition("/")

    def tamper(self, key: str, data: bytes) -> None:
        name = f"{self.prefix}/{key}"
        digest = self.client.stat_object(self.bucket, name).metadata["x-amz-meta-sha256"]
        self.client.put_object(self.bucket, name, io.BytesIO(data), len(data), metadata={"sha256": digest})

    def smuggle(self, key: str, data: bytes) -> None:
        self.client.put_object(self.bucket, f"{self.prefix}/{key}", io.BytesIO(data), len(data))


@pytest.fixture(scope="module", params=["local", pytest.param("s3", marks=pytest.mark.services)])
def backing(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backing]:
    if request.param == "local":
        yield LocalBacking(open_store(tmp_path_factory.mktemp("store") / "root"))
        return
    server = request.getfixturevalue("s3_server")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield S3Backing(open_store(f"s3://{server.bucket}/{secrets.token_hex(4)}"), server)


@pytest.fixture
def store(backing: Backing) -> Store:
    return backing.store


@pytest.fixture
def at() -> str:
    """A folder of keys for one test alone."""
    return secrets.token_hex(4)


PART = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.=+@,-]{0,8}", fullmatch=True)
KEY = st.lists(PART, min_size=1, max_size=3).map("/".join)


def without_folders(keys: list[str]) -> list[str]:
    """The keys, less those that are folders of others."""
    return [key for key in keys if not any(other.startswith(f"{key}/") for other in keys)]


class TestObjects:
    @pytest.mark.slow
    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(KEY, max_size=6, unique=True).map(without_folders), st.data())
    def test_holds_what_a_dictionary_would_hold(self, backing: Backing, keys: list[str], data: st.DataObject) -> None:
        store, at = backing.store, secrets.token_hex(4)
        expected: dict[str, bytes] = {}
        for key in data.draw(st.lists(st.sampled_from(keys), max_size=12)) if keys else []:
            name = f"{at}/{key}"
            action = data.draw(st.sampled_from(["put", "create", "delete"]))
            content = data.draw(st.binary(max_size=200))
            if action == "put":
                store.put(name, content)
                expected[name] = content
            elif action == "create":
                assert store.create(name, content) is (name not in expected)
                expected.setdefault(name, content)
            else:
                store.delete(name)
                expected.pop(name, None)
        assert list(store.list(f"{at}/")) == sorted(expected)
        for key in keys:
            name = f"{at}/{key}"
            assert store.exists(name) is (name in expected)
            if name in expected:
                assert store.get(name) == expected[name]

    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1])
    def test_files_and_bytes_are_the_same_objects(self, store: Store, at: str, tmp_path: Path, size: int) -> None:
        content = random.Random(size).randbytes(size)
        source = tmp_path / "source"
        source.write_bytes(content)
        store.put_file(f"{at}/file", source)
        assert store.get(f"{at}/file") == content
        store.put(f"{at}/bytes", content)
        store.get_file(f"{at}/bytes", tmp_path / "new/folder/target")
        assert (tmp_path / "new/folder/target").read_bytes() == content
        assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["target"]

    def test_opens_again_by_its_url(self, store: Store, at: str) -> None:
        store.put(f"{at}/object", b"1")
        again = open_store(store.url)
        assert again.url == store.url
        assert again.get(f"{at}/object") == b"1"

    @pytest.mark.slow
    def test_large_file_takes_bounded_memory(self, store: Store, at: str, tmp_path: Path) -> None:
        size = 160 << 20
        block = random.Random(0).randbytes(1 << 20)
        with (tmp_path / "large").open("wb") as file:
            for index in range(size >> 20):
                file.write(index.to_bytes(8, "little") + block[8:])
        tracemalloc.start()
        try:
            store.put_file(f"{at}/large", tmp_path / "large")
            store.get_file(f"{at}/large", tmp_path / "back")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        store.delete(f"{at}/large")
        assert peak < size / 2
        with (tmp_path / "large").open("rb") as sent, (tmp_path / "back").open("rb") as received:
            while chunk := sent.read(1 << 20):
                assert received.read(1 << 20) == chunk
            assert not received.read(1)


class TestList:
    def test_is_in_order_of_whole_keys(self, store: Store, at: str) -> None:
        keys = [f"{at}/{key}" for key in ("x/b", "x-a", "x.a", "x/a/b", "x/a-b", "x/a.b", "x0", "X", "x_/1", "10", "9")]
        for key in keys:
            store.put(key, b"")
        assert list(store.list(at)) == sorted(keys)
        for prefix in ("x", "x/", "x/a", "x/a/", "x/a/b", "X", "1", "none", "x/a/b/c", "9/"):
            expected = sorted(key for key in keys if key.startswith(f"{at}/{prefix}"))
            assert list(store.list(f"{at}/{prefix}")) == expected
        assert set(store.list()) >= set(keys)

    @pytest.mark.slow
    def test_shows_more_than_a_page(self, store: Store, at: str) -> None:
        keys = sorted(f"{at}/{index % 7}/{index}" for index in range(1100))
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda key: store.put(key, b""), keys))
        assert list(store.list(at)) == keys


class TestRefusals:
    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "../a",
            ".hidden",
            "a/.b",
            "-a",
            "a b",
            "a\\b",
            "a:b",
            "ä",
            "a\n",
            "a\0",
            "a*",
            "x" * 129,
            "/".join(["x" * 100] * 9),
        ],
    )
    def test_bad_keys(self, store: Store, tmp_path: Path, key: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        attempts: list[Callable[[], object]] = [
            lambda: store.put(key, b""),
            lambda: store.create(key, b""),
            lambda: store.get(key),
            lambda: store.put_file(key, tmp_path / "file"),
            lambda: store.get_file(key, tmp_path / "target"),
            lambda: store.exists(key),
            lambda: store.delete(key),
        ]
        for attempt in attempts:
            with pytest.raises(StoreError, match="can't be an object's key"):
                attempt()
        assert not (tmp_path / "target").exists()

    @pytest.mark.parametrize("prefix", ["/", "a//", "..", "a/../", ".tmp", "a b"])
    def test_bad_prefixes(self, store: Store, prefix: str) -> None:
        with pytest.raises(StoreError, match="can't be the beginning of a key"):
            list(store.list(prefix))

    def test_missing_object(self, store: Store, at: str, tmp_path: Path) -> None:
        store.put(f"{at}/folder/object", b"")
        for key in (f"{at}/none", f"{at}/folder", f"{at}/folder/object/below"):
            assert not store.exists(key)
            store.delete(key)
            with pytest.raises(MissingObject, match=key):
                store.get(key)
            with pytest.raises(MissingObject, match=key):
                store.get_file(key, tmp_path / "target")
        assert list(tmp_path.iterdir()) == []
        assert store.exists(f"{at}/folder/object")

    def test_unreadable_source_and_unwritable_target(self, store: Store, at: str, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match=r"can't read .*nothing to store it as .*: no such file or directory"):
            store.put_file(f"{at}/object", tmp_path / "nothing")
        assert not store.exists(f"{at}/object")
        store.put(f"{at}/object", b"1")
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StoreError, match=r"can't write .*/object to .*/file/target"):
            store.get_file(f"{at}/object", tmp_path / "file/target")


class TestCorruption:
    CONTENT = bytes(range(256)) * 40

    @pytest.mark.parametrize(
        "damaged",
        [
            pytest.param(CONTENT[:5000] + bytes([CONTENT[5000] ^ 1]) + CONTENT[5001:], id="a bit flipped"),
            pytest.param(CONTENT[:-1], id="the end lost"),
            pytest.param(CONTENT + b"\0", id="a byte too many"),
            pytest.param(b"", id="nothing left"),
        ],
    )
    def test_is_found_at_reading(self, backing: Backing, at: str, tmp_path: Path, damaged: bytes) -> None:
        key, target = f"{at}/object", tmp_path / "target"
        target.write_bytes(b"before")
        backing.store.put(key, self.CONTENT)
        backing.tamper(key, damaged)
        with pytest.raises(CorruptObject, match=f"{key} in .* doesn't match its checksum"):
            backing.store.get(key)
        with pytest.raises(CorruptObject, match=key):
            backing.store.get_file(key, target)
        assert target.read_bytes() == b"before"
        assert [path.name for path in tmp_path.iterdir()] == ["target"]

        backing.store.put(key, self.CONTENT)
        assert backing.store.get(key) == self.CONTENT

    def test_object_without_checksum_is_refused(self, backing: Backing, at: str) -> None:
        backing.smuggle(f"{at}/object", b"1")
        with pytest.raises(CorruptObject, match=f"{at}/object in .* has no checksum"):
            backing.store.get(f"{at}/object")
        backing.store.put(f"{at}/object", b"2")
        assert backing.store.get(f"{at}/object") == b"2"


class TestJson:
    def test_equal_values_give_equal_bytes(self, store: Store, at: str) -> None:
        store.put_json(f"{at}/1", {"b": [1, 0.1, None, "é"], "a": {"y": True, "x": -0.0}})
        store.put_json(f"{at}/2", {"a": {"x": -0.0, "y": True}, "b": [1, 0.1, None, "é"]})
        assert store.get(f"{at}/1") == store.get(f"{at}/2")
        assert store.get_json(f"{at}/1") == {"b": [1, 0.1, None, "é"], "a": {"y": True, "x": -0.0}}

    def test_refuses_what_json_has_not(self, store: Store, at: str) -> None:
        with pytest.raises(ValueError):
            store.put_json(f"{at}/nan", [float("nan")])
        assert not store.exists(f"{at}/nan")
        store.put(f"{at}/text", b"{")
        with pytest.raises(StoreError, match=f"{at}/text in .* is not JSON"):
            store.get_json(f"{at}/text")


CREATORS = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from physlm.store import open_store
url, at, name, rounds = sys.argv[1:]
stores = [open_store(url) for _ in range(4)]
print("ready", flush=True)
sys.stdin.readline()
with ThreadPoolExecutor(4) as pool:
    for turn in range(int(rounds)):
        contents = [f"{name}{thread}" for thread in range(4)]
        won = pool.map(lambda store, content: store.create(f"{at}/{turn}", content.encode()), stores, contents)
        print(*(content for content, winner in zip(contents, won) if winner), flush=True)
"""

WRITER = """
import sys
from pathlib import Path
from physlm.store import open_store
url, key, folder = sys.argv[1:]
store = open_store(url)
contents = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
print("ready", flush=True)
while True:
    for path in sorted(Path(folder).iterdir()):
        store.put_file(key, path)
        store.put(key, path.read_bytes())
"""


class TestProcesses:
    @pytest.mark.slow
    def test_sixteen_simultaneous_creates_have_one_winner(self, store: Store, at: str) -> None:
        rounds = 5
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", CREATORS, store.url, at, name, str(rounds)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for name in "abcd"
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
        answers = []
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda process: process.communicate("go\n")[0].split("\n"), processes))
        for turn in range(rounds):
            winners = [winner for lines in answers for winner in lines[turn].split()]
            assert len(winners) == 1
            assert store.get(f"{at}/{turn}") == winners[0].encode()

    def test_create_leaves_a_taken_key_alone(self, store: Store, at: str) -> None:
        store.put(f"{at}/object", b"first")
        assert not store.create(f"{at}/object", b"second")
        assert store.get(f"{at}/object") == b"first"
        store.delete(f"{at}/object")
        assert store.create(f"{at}/object", b"third")
        assert store.get(f"{at}/object") == b"third"

    def test_readers_see_whole_objects_while_writers_write(self, store: Store, at: str) -> None:
        key, contents = f"{at}/object", [bytes([index]) * (1000 + 70_000 * index) for index in range(3)]
        store.put(key, contents[0])
        writing = threading.Event()
        writing.set()

        written = [0] * 3

        def write(index: int) -> None:
            while writing.is_set():
                store.put(key, contents[index])
                written[index] += 1

        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(write, index) for index in range(3)]
            try:
                while min(written) < 20 and not any(writer.done() for writer in writers):
                    assert store.get(key) in contents
            finally:
                writing.clear()
            for writer in writers:
                writer.result()
        assert list(store.list(at)) == [key]

    @pytest.mark.slow
    def test_a_killed_writer_leaves_the_old_or_the_new_object(self, store: Store, at: str, tmp_path: Path) -> None:
        key, rng = f"{at}/object", random.Random(1)
        contents = [rng.randbytes(300_000 + index) for index in range(3)]
        for index, content in enumerate(contents):
            (tmp_path / str(index)).write_bytes(content)
        store.put(key, contents[0])
        for _ in range(8):
            command = [sys.executable, "-c", WRITER, store.url, key, str(tmp_path)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
                assert writer.stdout
                assert writer.stdout.readline() == "ready\n"
                time.sleep(rng.uniform(0, 0.08))
                os.kill(writer.pid, signal.SIGKILL)
            assert store.get(key) in contents
            assert list(store.list(at)) == [key]


@pytest.mark.slow
def test_local_store_is_a_store() -> None:
    assert issubclass(LocalStore, Store)
