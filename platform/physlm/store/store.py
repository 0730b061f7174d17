"""The Store contract: objects under keys, written whole or not at all, and checked when they are read."""

from __future__ import annotations

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from typing_extensions import Buffer

from physlm.errors import CorruptObject, StoreError
from physlm.registry import Registry
from physlm.store.files import reason, replacing


class _Nowhere(io.BytesIO):
    """A sink that forgets what is written."""

    def write(self, data: Buffer) -> int:
        return len(memoryview(data))


class Store(ABC):
    """Objects under slash-separated keys, e.g. `runs/3f2a.../run.json`.

    A put is atomic: readers see the old object or the new one, also after kill -9. Every object carries the
    SHA-256 of its content; a get whose bytes don't match raises `CorruptObject` naming the key. A key that is the
    folder of another (`a` beside `a/b`) may be refused. Every method raises StoreError for a key that can't be one
    and when the store fails, and StoreConfigError when its address or credentials are refused.

    A kind of store is one file of this package that registers a class; `open_store` finds it by its scheme.

    A store may be shared by threads. `open_store(store.url)` opens the same one in another process.
    """

    scheme: ClassVar[str]
    """What its addresses begin with, before ://."""

    form: ClassVar[str]
    """An address of it, for messages."""

    url: str  # address as the user wrote it, without secrets

    @classmethod
    @abstractmethod
    def open(cls, address: str) -> Store:
        """The store at an address of its scheme; nothing is read or written yet.

        Clients of its server are imported here, not with the file. Raises StoreConfigError.
        """

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; of any number of simultaneous callers exactly one gets True."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether an object is stored under the key."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with the prefix, in lexicographic order; `runs/3f` finds `runs/3f2a/run.json`."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""

    @abstractmethod
    def _read(self, key: str, sink: BinaryIO) -> None:
        """Write the object to the sink, which can seek, with bounded memory; check it at the end."""

    @abstractmethod
    def _write(self, key: str, source: BinaryIO) -> None:
        """Write or replace the object with the whole source, which can seek, with bounded memory."""

    def address(self, key: str) -> str:
        """Where people find an object."""
        return f"{self.url}/{key}"

    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object. Raises StoreError when it can't be written."""
        self._write(key, io.BytesIO(data))

    def get(self, key: str) -> bytes:
        """Read an object. Raises MissingObject or CorruptObject, naming the key."""
        sink = io.BytesIO()
        self._read(key, sink)
        return sink.getvalue()

    def check(self, key: str) -> None:
        """Read an object, with bounded memory, and keep nothing. Raises MissingObject or CorruptObject."""
        self._read(key, _Nowhere())

    def put_file(self, key: str, path: Path) -> None:
        """Write or replace an object from a file, in parts with bounded memory; a part that fails is sent again."""
        try:
            source = path.open("rb")
        except OSError as error:
            raise StoreError(f"can't read {path} to store it as {key}: {reason(error)}") from None
        with source:
            self._write(key, source)

    def get_file(self, key: str, path: Path) -> None:
        """Read an object into a file, with bounded memory; the file appears whole and checked, or not at all.

        Folders on the way to the file are made. Raises MissingObject or CorruptObject, naming the key.
        """
        try:
            with replacing(path) as file:
                self._read(key, file)
        except OSError as error:
            raise StoreError(f"can't write {key} to {path}: {reason(error)}") from None

    def put_json(self, key: str, value: Any) -> None:
        """Write a JSON value in canonical form: equal values give equal bytes. ValueError for NaN or infinity."""
        text = json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False)
        self.put(key, f"{text}\n".encode())

    def get_json(self, key: str) -> Any:
        """Read a JSON value. Raises MissingObject, or CorruptObject, also if the object isn't JSON."""
        data = self.get(key)
        try:
            return json.loads(data)
        except ValueError as error:
            raise CorruptObject(f"{key} in {self.url} is not JSON: {error}") from None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"


registry: Registry[type[Store]] = Registry(
    "store", "physlm.store", lambda store: str(store.scheme), without=["s3_client"]
)
register = registry.register
