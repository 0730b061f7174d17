"""A store in a local folder.

    root/runs/3f2a/run.json            the object, plain, for any other tool
    root/runs/3f2a/.run.json.sha256    its digest, in the form that `sha256sum -c` reads
    root/.tmp/5c0e...                  an object being written

A put writes a temporary file, adds its digest to those in the object's record, moves the file into place and then
takes the former digest off the record. So at every instant the record holds the digest of the object that is in
place, and a killed writer leaves at most a temporary file, which the next writer sweeps away, and a digest too many.

The record is at the same time the lock of writers to one key (flock, which the kernel drops with the process).
Readers take no lock unless the object seems corrupt.

Durability: when a put, create or delete returns it also survives a power loss; each step is synced to the disk before
the next one. That takes three syncs, so a small put costs three times the latency of the disk's sync.
"""

from __future__ import annotations

import fcntl
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from physlm.errors import CorruptObject, MissingObject, StoreConfigError, StoreError
from physlm.store.files import copy, reason, sync_folder
from physlm.store.keys import check_key, check_prefix, is_key
from physlm.store.store import Store


class LocalStore(Store):
    """Objects as plain files below a folder, which is made at the first write.

    The folder must be on one file system with locks and hard links (any local one, NFS 4). Raises StoreConfigError if
    the root is not a folder.
    """

    def __init__(self, root: str | Path) -> None:
        self.url = str(root)
        self.root = Path(root).absolute()
        nearest = next(path for path in (self.root, *self.root.parents) if path.exists())
        if not nearest.is_dir():
            raise StoreConfigError(f"the store's address {root} can't be a folder: {nearest} is a file")
        self._temporary = self.root / ".tmp"
        self._swept = False

    def address(self, key: str) -> str:
        """Its path."""
        return str((self.root / key).resolve())

    def create(self, key: str, data: bytes) -> bool:
        return not self.exists(key) and self._place(key, io.BytesIO(data), exclusive=True)

    def exists(self, key: str) -> bool:
        try:
            return self._path(key).is_file()
        except OSError as error:
            raise StoreError(f"can't look for {key} in {self.url}: {reason(error)}") from None

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        folder, slash, beginning = prefix.rpartition("/")
        try:
            yield from _walk(self.root / folder, folder + slash, beginning)
        except OSError as error:
            raise StoreError(f"can't list {prefix or 'the store'} in {self.url}: {reason(error)}") from None

    def delete(self, key: str) -> None:
        path = self._path(key)
        try:
            try:
                with _locked(_record(path), os.O_RDWR, fcntl.LOCK_EX):
                    _unlink(path)
                    _record(path).unlink()
            except FileNotFoundError:
                _unlink(path)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"can't delete {key} in {self.url}: {reason(error)}") from None
        with suppress(OSError):  # the first folder that isn't empty ends it
            for folder in takewhile(lambda folder: folder != self.root, path.parents):
                folder.rmdir()

    def _path(self, key: str) -> Path:
        check_key(key)
        return self.root / key

    def _read(self, key: str, sink: BinaryIO) -> None:
        path = self._path(key)
        while True:
            sink.seek(0)
            sink.truncate()
            try:
                with path.open("rb") as file:
                    digest = copy(file, sink)
                    if _is_recorded(path, digest):
                        return
                    if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                        break
                    # else another object took its place while this one was read
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
                raise MissingObject(f"there is no object {key} in {self.url}") from None
            except OSError as error:
                raise StoreError(f"can't read {key} in {self.url}: {reason(error)}") from None
        if _record(path).exists():
            raise CorruptObject(f"{key} in {self.url} is corrupt: its content doesn't match its checksum")
        raise CorruptObject(
            f"{key} in {self.url} has no checksum: it wasn't written through physlm, or lost its record"
        )

    def _write(self, key: str, source: BinaryIO) -> None:
        self._place(key, source, exclusive=False)

    def _place(self, key: str, source: BinaryIO, exclusive: bool) -> bool:
        """Write an object. Returns whether it was written: an exclusive one is not if the key is taken."""
        path = self._path(key)
        try:
            with self._part() as part:
                digest = copy(source, part)
                part.flush()
                os.fsync(part.fileno())
                return _publish(Path(part.name), path, digest, exclusive)
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise StoreError(
                f"can't write {key} in {self.url}: an object's key can't be a folder of other objects' keys"
            ) from None
        except OSError as error:
            raise StoreError(f"can't write {key} in {self.url}: {reason(error)}") from None

    @contextmanager
    def _part(self) -> Iterator[BinaryIO]:
        """A temporary file in the store's file system, removed at the end unless it was moved.

        Its writer holds a lock on it. A temporary file without a lock is a dead writer's.
        """
        if not self._swept or not self._temporary.exists():
            self._sweep()
            self._swept = True
        while True:
            path = self._temporary / secrets.token_hex(16)
            with path.open("xb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                if os.fstat(file.fileno()).st_nlink == 0:
                    continue  # swept away between open and lock
                try:
                    yield file
                    return
                finally:
                    path.unlink(missing_ok=True)

    def _sweep(self) -> None:
        _make_folder(self._temporary)
        for path in self._temporary.iterdir():
            try:
                with path.open("r+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
            except (BlockingIOError, FileNotFoundError):
                pass  # its writer lives, or has just moved it


def _publish(part: Path, path: Path, digest: str, exclusive: bool) -> bool:
    """Move a finished temporary file into place, with its digest on record from before till after."""
    line = f"{digest}  {path.name}\n".encode()
    with _locked(_record(path), os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as record:
        known = _whole_lines(record)
        if known != line:
            os.pwrite(record, line, len(known))
            os.fsync(record)  # its entry in the folder goes to the disk with the object's, in one journal
        try:
            if exclusive:
                os.link(part, path)
            else:
                part.replace(path)
        except OSError as error:
            os.ftruncate(record, len(known))
            if not known:
                _record(path).unlink()
            if exclusive and isinstance(error, FileExistsError) and path.is_file():
                return False
            raise
        sync_folder(path.parent)
        if known and known != line:
            # In this order the new digest is on record throughout.
            os.pwrite(record, line, 0)
            os.ftruncate(record, len(line))
    return True


def _is_recorded(path: Path, digest: str) -> bool:
    record = _record(path)
    try:
        if digest in record.read_text("ascii", "replace"):
            return True
        # A writer may have been at it.
        with _locked(record, os.O_RDONLY, fcntl.LOCK_SH) as fd:
            return digest.encode() in _whole_lines(fd)
    except FileNotFoundError:
        return False


def _record(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _whole_lines(record: int) -> bytes:
    """The record's content, less a line that a power loss cut."""
    content = os.pread(record, os.fstat(record).st_size, 0)
    return content[: content.rfind(b"\n") + 1]


@contextmanager
def _locked(record: Path, flags: int, operation: int) -> Iterator[int]:
    """The record, opened and locked. Raises FileNotFoundError if there is none and the flags don't create it."""
    while True:
        try:
            fd = os.open(record, flags, 0o666)
        except FileNotFoundError:
            if not flags & os.O_CREAT:
                raise
            _make_folder(record.parent)
            continue
        try:
            fcntl.flock(fd, operation)
            try:
                if _is_at(fd, record):
                    yield fd
                    return
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may hold the file open
        finally:
            os.close(fd)


def _is_at(fd: int, path: Path) -> bool:
    """Whether the open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    try:
        folder.mkdir()
    except FileNotFoundError:
        _make_folder(folder.parent)
        _make_folder(folder)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        sync_folder(folder.parent)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _walk(folder: Path, key: str, beginning: str) -> Iterator[str]:
    """Keys of the objects below the folder, which is at `key`; only entries whose names begin so."""
    try:
        with os.scandir(folder) as entries:
            # With the slash that follows it in keys, a folder sorts where its keys do.
            names = sorted(
                entry.name + "/" * entry.is_dir()
                for entry in entries
                if entry.name.startswith(beginning) and is_key(entry.name)
            )
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        if name.endswith("/"):
            yield from _walk(folder / name, key + name, "")
        else:
            yield key + name
