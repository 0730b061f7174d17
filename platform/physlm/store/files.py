"""Files that appear whole or not at all, and what stops them in words."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20  # bytes read at a time


def chunks(source: BinaryIO) -> Iterator[bytes]:
    """What is left of the source, a chunk at a time."""
    while chunk := source.read(CHUNK):
        yield chunk


def copy(source: BinaryIO, sink: BinaryIO) -> str:
    """Copy what is left of the source, a chunk at a time. Returns the SHA-256 of it."""
    digest = hashlib.sha256()
    for chunk in chunks(source):
        digest.update(chunk)
        sink.write(chunk)
    return digest.hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which takes the path's place at the end of the block, unless the block raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def reason(error: OSError) -> str:
    """Why the operating system refused, for people."""
    if error.errno == errno.EXDEV:
        return "its folders are on different file systems"
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]
