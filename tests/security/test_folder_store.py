"""Who may write to a store's folder can't reach outside it: links, pipes and foreign files there are left alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from physlm.errors import CorruptObject, MissingObject, PhyslmError, StoreError
from physlm.store import open_store
from physlm.store.local import LocalStore

PRECIOUS = b"somebody's own file"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that isn't the store's, as it must be at the end too."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / ".profile").write_bytes(PRECIOUS)
    (folder / "0123456789abcdef0123456789abcdef").write_bytes(PRECIOUS)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    store.put("runs/a/run.json", b"{}")
    return store


def untouched(outside: Path) -> bool:
    return {path.name: path.read_bytes() for path in outside.iterdir()} == {
        ".profile": PRECIOUS,
        "0123456789abcdef0123456789abcdef": PRECIOUS,
    }


def test_files_that_are_not_a_writers_are_never_swept_away(store: LocalStore, outside: Path) -> None:
    """A folder named .tmp may be another tool's."""
    foreign = store.root / ".tmp" / "thesis.tex"
    foreign.write_bytes(PRECIOUS)
    left = store.root / ".tmp" / ("0" * 32)
    left.write_bytes(b"of a killed writer")
    link = store.root / ".tmp" / ("1" * 32)
    link.symlink_to(outside / ".profile")
    LocalStore(store.root).put("runs/b/run.json", b"{}")
    assert foreign.read_bytes() == PRECIOUS
    assert not left.exists()
    assert untouched(outside)


def test_a_folder_for_temporary_files_behind_a_link_is_not_used(store: LocalStore, outside: Path) -> None:
    (store.root / ".tmp").rmdir()
    (store.root / ".tmp").symlink_to(outside)
    with pytest.raises(StoreError, match=r"can't write runs/b/run.json .*\.tmp is a link"):
        LocalStore(store.root).put("runs/b/run.json", b"{}")
    assert untouched(outside)


@pytest.mark.parametrize(
    "use",
    [
        lambda store: store.put("runs/b/run.json", b"{}"),
        lambda store: ((store.root / "runs/b/run.json").unlink(), store.create("runs/b/run.json", b"{}")),
        lambda store: store.delete("runs/b/run.json"),
        lambda store: store.get("runs/b/run.json"),
    ],
    ids=["put", "create", "delete", "get"],
)
def test_a_record_that_is_a_link_is_not_followed(
    store: LocalStore, outside: Path, use: Callable[[LocalStore], object]
) -> None:
    folder = store.root / "runs/b"
    folder.mkdir()
    (folder / "run.json").write_bytes(b"{}")
    (folder / ".run.json.sha256").symlink_to(outside / ".profile")
    with pytest.raises(PhyslmError):
        use(store)
    assert untouched(outside)


@pytest.mark.parametrize("target", ["outside", ".."])
def test_folders_behind_links_are_neither_written_nor_read_nor_listed(
    store: LocalStore, outside: Path, target: str
) -> None:
    (store.root / "experiments").symlink_to(outside if target == "outside" else "..")
    with pytest.raises(StoreError, match="experiments is a link"):
        store.put("experiments/x.json", b"{}")
    with pytest.raises(StoreError, match="experiments is a link"):
        store.get("experiments/home")
    with pytest.raises(StoreError, match="experiments is a link"):
        store.delete("experiments/home")
    assert list(store.list()) == ["runs/a/run.json"]
    assert untouched(outside)


def test_an_object_that_is_a_link_is_not_read(store: LocalStore, outside: Path) -> None:
    (store.root / "runs/a/model.json").symlink_to(outside / ".profile")
    assert not store.exists("runs/a/model.json")
    with pytest.raises(StoreError, match=r"model.json is a link"):
        store.get("runs/a/model.json")
    store.put("runs/a/model.json", b"new")
    assert store.get("runs/a/model.json") == b"new"
    assert untouched(outside)


@pytest.mark.parametrize("name", ["run.json", ".run.json.sha256"])
def test_pipes_do_not_hang(store: LocalStore, name: str) -> None:
    path = store.root / "runs/a" / name
    path.unlink()
    os.mkfifo(path)

    def read() -> None:
        with pytest.raises((StoreError, MissingObject, CorruptObject)):
            store.get("runs/a/run.json")

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(60)
    assert not reader.is_alive(), "reading a pipe waits for ever"


def test_a_store_may_itself_stand_behind_a_link(tmp_path: Path) -> None:
    """Whoever names the store is trusted; who writes into it isn't."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "disk")
    store = open_store(tmp_path / "results")
    store.put("runs/a/run.json", b"{}")
    assert (tmp_path / "disk/runs/a/run.json").read_bytes() == b"{}"
