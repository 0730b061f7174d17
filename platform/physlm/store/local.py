"""A store in a local folder.

    root/runs/3f2a/run.json            the object, plain, for any other tool
    root/runs/3f2a/.run.json.sha256    its digest, in the form that `sha256sum -c` reads
    root/.tmp/5c0e...                  an object being written

A put writes a temporary file, adds its digest to those in the object's record, moves the file into place and then
takes the former digest off the record. So at every instant the record holds the digest of the object that is in
place, and a killed writer leaves at most a temporary file, which the next writer sweeps away, and a digest too many.

The record is at the same time the lock of writers to one key (flock, which the kernel drops with the process).
Readers take no lock unless the object seems corrupt.

Whoever can write to the folder may put links, pipes and devices there. None is ever followed or opened: each part of a
key is looked up in its folder's handle (see `physlm.store.folders`), and only files with names that writers make are
swept away.

Durability: when a put, create or delete returns it also survives a power loss; each step is synced to the disk before
the next one. That takes three syncs, so a small put costs three times the latency of the disk's sync.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import unquote

from physlm.errors import CorruptObject, MissingObject, StoreConfigError, StoreError
from physlm.store import folders
from physlm.store.files import copy, reason
from physlm.store.keys import check_key, check_prefix, is_key
from physlm.store.store import Store, register

_LONGEST_NAME = 255  # bytes
_TEMPORARY = ".tmp"
_PART = re.compile(r"[0-9a-f]{32}")  # names of temporary files


@register
class LocalStore(Store):
    """Objects as plain files below a folder, which is made at the first write.

    The folder must be on one file system with locks and hard links (any local one, NFS 4). Raises StoreConfigError if
    the root is not a folder.
    """

    scheme = "file"
    form = "file:///a/path"

    def __init__(self, root: str | Path) -> None:
        self.url = str(root)
        self.root = Path(root).absolute()
        if long := [part for part in self.root.parts if len(os.fsencode(part)) > _LONGEST_NAME]:
            raise StoreConfigError(
                f"the store's address {self.url[:60]}... can't be one: a name of {len(os.fsencode(long[0]))} bytes is "
                f"longer than the {_LONGEST_NAME} that file systems take"
            )
        nearest = next(path for path in (self.root, *self.root.parents) if os.path.lexists(path))
        if nearest.is_symlink() and not nearest.exists():
            raise StoreConfigError(f"the store's address {root} leads nowhere: {nearest} is a link to what isn't there")
        if not nearest.is_dir():
            raise StoreConfigError(f"the store's address {root} can't be a folder: {nearest} is a file")
        self._swept = False

    @classmethod
    def open(cls, address: str) -> LocalStore:
        scheme, _, path = address.partition("://")
        if not path.startswith("/"):
            raise StoreConfigError(f"the store's address must be a folder's path or {cls.form}, not {scheme}://...")
        return cls(unquote(path))

    def address(self, key: str) -> str:
        """Its path."""
        return str((self.root / key).resolve())

    def create(self, key: str, data: bytes) -> bool:
        return not self.exists(key) and self._place(key, io.BytesIO(data), exclusive=True)

    def exists(self, key: str) -> bool:
        *parts, name = _parts(key)
        try:
            with folders.opened(self.root, parts) as folder:
                return folders.is_file(folder, name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StoreError(f"can't look for {key} in {self.url}: {reason(error)}") from None

    def list(self, prefix: str = "") -> Iterator[str]:
        check_prefix(prefix)
        *parts, beginning = prefix.split("/")
        try:
            with folders.opened(self.root, parts) as folder:
                yield from _walk(folder, "".join(f"{part}/" for part in parts), beginning)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"can't list {prefix or 'the store'} in {self.url}: {reason(error)}") from None

    def delete(self, key: str) -> None:
        *parts, name = _parts(key)
        try:
            with folders.opened(self.root, parts) as folder:
                try:
                    with _locked(folder, _record(name), os.O_RDWR, fcntl.LOCK_EX):
                        folders.unlink(folder, name)
                        os.unlink(_record(name), dir_fd=folder)
                except FileNotFoundError:
                    folders.unlink(folder, name)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return
        except OSError as error:
            raise StoreError(f"can't delete {key} in {self.url}: {reason(error)}") from None
        with suppress(OSError):  # the first folder that isn't empty ends it
            while parts:
                *parts, name = parts
                with folders.opened(self.root, parts) as folder:
                    os.rmdir(name, dir_fd=folder)

    def _read(self, key: str, sink: BinaryIO) -> None:
        *parts, name = _parts(key)
        try:
            with folders.opened(self.root, parts) as folder:
                found = _copy_checked(folder, name, sink)
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            raise MissingObject(f"there is no object {key} in {self.url}") from None
        except OSError as error:
            raise StoreError(f"can't read {key} in {self.url}: {reason(error)}") from None
        if found == "corrupt":
            raise CorruptObject(
                f"{key} in {self.url} is corrupt: its content doesn't match its checksum; see `physlm store repair`"
            )
        if found == "unrecorded":
            raise CorruptObject(
                f"{key} in {self.url} has no checksum: it wasn't written through physlm, or was copied without its "
                f"record {_record(name)}; copy a store with its dot files"
            )

    def _write(self, key: str, source: BinaryIO) -> None:
        self._place(key, source, exclusive=False)

    def _place(self, key: str, source: BinaryIO, exclusive: bool) -> bool:
        """Write an object. Returns whether it was written: an exclusive one is not if the key is taken."""
        *parts, name = _parts(key)
        try:
            with self._part() as (temporary, part, file):
                digest = copy(source, file)
                file.flush()
                os.fsync(file.fileno())
                with folders.opened(self.root, parts, make=True) as folder:
                    return _publish(temporary, part, folder, name, digest, exclusive)
        except folders.LinkError as error:
            raise StoreError(f"can't write {key} in {self.url}: {reason(error)}") from None
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            raise StoreError(
                f"can't write {key} in {self.url}: an object's key can't be a folder of other objects' keys"
            ) from None
        except PermissionError as error:
            raise StoreError(f"can't write {key} in {self.url}: {self._denied(parts, name, error)}") from None
        except OSError as error:
            raise StoreError(f"can't write {key} in {self.url}: {reason(error)}") from None

    @contextmanager
    def _part(self) -> Iterator[tuple[int, str, BinaryIO]]:
        """A temporary file in the store's file system: its folder, its name and itself. Removed unless it was moved.

        Its writer holds a lock on it. A temporary file without a lock is a dead writer's.
        """
        with folders.opened(self.root, [_TEMPORARY], make=True) as folder:
            if not self._swept:
                _sweep(folder)
                self._swept = True
            while True:
                name = secrets.token_hex(16)
                fd = folders.open_file(folder, name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                with os.fdopen(fd, "w+b") as file:
                    fcntl.flock(file, fcntl.LOCK_EX)
                    if os.fstat(file.fileno()).st_nlink == 0:
                        continue  # swept away between open and lock
                    try:
                        yield folder, name, file
                        return
                    finally:
                        with suppress(FileNotFoundError):
                            os.unlink(name, dir_fd=folder)

    def _denied(self, parts: Sequence[str], name: str, error: PermissionError) -> str:
        """Whose file it is that this user may not write, and how users share a store."""
        path = self.root.joinpath(*parts)
        for each in (path / _record(name), path, *path.parents, self.root / _TEMPORARY):
            with suppress(OSError):
                owner = each.lstat().st_uid
                if owner != os.geteuid() and not os.access(each, os.W_OK, follow_symlinks=False):
                    return (
                        f"{each} belongs to another user (uid {owner}), who doesn't let this one (uid {os.geteuid()}) "
                        "write there; users who share a store need one group, umask 002 and: chmod -R g+rwX,g+s on it"
                    )
        return reason(error)


def _parts(key: str) -> Sequence[str]:
    check_key(key)
    return key.split("/")


def _sweep(folder: int) -> None:
    """Remove what killed writers have left: files with names as writers make them, without a lock."""
    for name in os.listdir(folder):
        if not _PART.fullmatch(name):
            continue
        try:
            fd = folders.open_file(folder, name, os.O_RDWR)
        except OSError:
            continue  # just moved, or another user's, or no file
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=folder)
        except (BlockingIOError, FileNotFoundError, PermissionError):
            pass  # its writer lives, or has just moved it
        finally:
            os.close(fd)


def _copy_checked(folder: int, name: str, sink: BinaryIO) -> Literal["sound", "corrupt", "unrecorded"]:
    """Copy an object to the sink, from its start, and say how it stands with its record."""
    while True:
        sink.seek(0)
        sink.truncate()
        with os.fdopen(folders.open_file(folder, name, os.O_RDONLY), "rb") as file:
            digest = copy(file, sink)
            if _is_recorded(folder, name, digest):
                return "sound"
            if _is_at(file.fileno(), folder, name):
                return "corrupt" if folders.is_file(folder, _record(name)) else "unrecorded"
        # else another object took its place while this one was read


def _publish(temporary: int, part: str, folder: int, name: str, digest: str, exclusive: bool) -> bool:
    """Move a finished temporary file into place, with its digest on record from before till after."""
    line = f"{digest}  {name}\n".encode()
    with _locked(folder, _record(name), os.O_RDWR | os.O_CREAT, fcntl.LOCK_EX) as record:
        known = _whole_lines(record)
        if known != line:
            os.pwrite(record, line, len(known))
            os.fsync(record)  # its entry in the folder goes to the disk with the object's, in one journal
        try:
            if exclusive:
                os.link(part, name, src_dir_fd=temporary, dst_dir_fd=folder, follow_symlinks=False)
            else:
                os.replace(part, name, src_dir_fd=temporary, dst_dir_fd=folder)
        except OSError as error:
            os.ftruncate(record, len(known))
            if not known:
                os.unlink(_record(name), dir_fd=folder)
            if exclusive and isinstance(error, FileExistsError) and folders.is_file(folder, name):
                return False
            raise
        os.fsync(folder)
        if known and known != line:
            # In this order the new digest is on record throughout.
            os.pwrite(record, line, 0)
            os.ftruncate(record, len(line))
    return True


def _is_recorded(folder: int, name: str, digest: str) -> bool:
    try:
        fd = folders.open_file(folder, _record(name), os.O_RDONLY)
        try:
            if digest.encode() in os.pread(fd, _MOST_RECORDED, 0):
                return True
        finally:
            os.close(fd)
        # A writer may have been at it.
        with _locked(folder, _record(name), os.O_RDONLY, fcntl.LOCK_SH) as fd:
            return digest.encode() in _whole_lines(fd)
    except FileNotFoundError:
        return False


def _record(name: str) -> str:
    return f".{name}.sha256"


_MOST_RECORDED = 1 << 16  # bytes of a record that are read; two lines are all that a writer leaves


def _whole_lines(record: int) -> bytes:
    """The record's content, less a line that a power loss cut."""
    content = os.pread(record, _MOST_RECORDED, 0)
    return content[: content.rfind(b"\n") + 1]


@contextmanager
def _locked(folder: int, record: str, flags: int, operation: int) -> Iterator[int]:
    """The record, opened and locked. Raises FileNotFoundError if there is none and the flags don't create it."""
    while True:
        fd = folders.open_file(folder, record, flags)
        try:
            fcntl.flock(fd, operation)
            try:
                if _is_at(fd, folder, record):
                    yield fd
                    return
            finally:
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may hold the file open
        finally:
            os.close(fd)


def _is_at(fd: int, folder: int, name: str) -> bool:
    """Whether the open file is still the one of the name."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False))
    except FileNotFoundError:
        return False


def _walk(folder: int, key: str, beginning: str) -> Iterator[str]:
    """Keys of the objects below the folder, which is at `key`; entries whose names begin so. Links are no objects."""
    with os.scandir(folder) as entries:
        # With the slash that follows it in keys, a folder sorts where its keys do.
        names = sorted(
            entry.name + "/" * is_folder
            for entry in entries
            if entry.name.startswith(beginning) and is_key(entry.name)
            if (is_folder := entry.is_dir(follow_symlinks=False)) or entry.is_file(follow_symlinks=False)
        )
    for name in names:
        if not name.endswith("/"):
            yield key + name
            continue
        try:
            below = os.open(name[:-1], os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except (FileNotFoundError, NotADirectoryError):
            continue  # gone since
        try:
            yield from _walk(below, key + name, "")
        finally:
            os.close(below)
