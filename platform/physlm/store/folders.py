"""Folders as open handles: every name is looked up in its folder alone, so no link on the way can lead elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

# NONBLOCK: opening a pipe must not wait for its other end. It means nothing for regular files.
_SAFELY = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class LinkError(OSError):
    """A name stands for a link, a pipe or a device, where a store has only folders and regular files."""

    def __init__(self, name: str) -> None:
        super().__init__(errno.ELOOP, f"{name} is a link or no regular file, and a store follows none", name)


@contextmanager
def opened(root: Path, parts: Sequence[str], make: bool = False) -> Iterator[int]:
    """The folder root/parts[0]/parts[1]/... as a handle, made durably if asked. The root itself may be behind a link.

    Raises FileNotFoundError, NotADirectoryError, and LinkError where a part is a link.
    """
    if make:
        _make_root(root)
    here = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            below = _enter(here, part, make)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def open_file(folder: int, name: str, flags: int, mode: int = 0o666) -> int:
    """Open a regular file of a folder. Raises FileNotFoundError, IsADirectoryError, and LinkError for anything else."""
    try:
        fd = os.open(name, flags | _SAFELY, mode, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):  # the last for a pipe that nobody reads
            raise LinkError(name) from None
        raise
    kind = os.fstat(fd).st_mode
    if stat.S_ISREG(kind):
        return fd
    os.close(fd)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    raise LinkError(name)


def is_file(folder: int, name: str) -> bool:
    """Whether a regular file has the name; a link to one doesn't count."""
    try:
        return stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except FileNotFoundError:
        return False


def unlink(folder: int, name: str) -> None:
    """Remove a name, if it is there, durably. A link is removed, not what it leads to."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
    os.fsync(folder)


def _enter(folder: int, name: str, make: bool) -> int:
    flags = os.O_RDONLY | os.O_DIRECTORY | _SAFELY
    try:
        return os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK) or _is_link(folder, name):
            raise LinkError(name) from None
        raise
    with suppress(FileExistsError):  # somebody else was quicker
        os.mkdir(name, dir_fd=folder)
        os.fsync(folder)
    return os.open(name, flags, dir_fd=folder)


def _is_link(folder: int, name: str) -> bool:
    return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _make_root(root: Path) -> None:
    """Make the root and the folders above it, durably."""
    try:
        root.mkdir()
    except FileNotFoundError:
        _make_root(root.parent)
        _make_root(root)
    except FileExistsError:
        if not root.is_dir():
            raise
    else:
        fd = os.open(root.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
