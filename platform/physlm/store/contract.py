"""The Store contract: objects under keys, written whole or not at all, and checked when they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path


class Store(ABC):
    """Objects under slash-separated keys, e.g. `runs/3f2a.../run.json`.

    A put is atomic: readers see the old object or the new one, also after kill -9. Every object carries the
    SHA-256 of its content; a get whose bytes don't match raises `CorruptObject` naming the key.
    """

    url: str  # address as the user wrote it, without secrets

    @abstractmethod
    def put(self, key: str, data: bytes) -> None:
        """Write or replace an object. Raises StoreError when it can't be written."""

    @abstractmethod
    def create(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; of any number of simultaneous callers exactly one gets True."""

    @abstractmethod
    def get(self, key: str) -> bytes:
        """Read an object. Raises MissingObject or CorruptObject, naming the key."""

    @abstractmethod
    def put_file(self, key: str, path: Path) -> None:
        """Write an object from a file, in parts with bounded memory; goes on with a broken upload where it can."""

    @abstractmethod
    def get_file(self, key: str, path: Path) -> None:
        """Read an object into a file, in parts with bounded memory; the file appears whole or not at all."""

    @abstractmethod
    def exists(self, key: str) -> bool:
        """Whether an object is stored under the key."""

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[str]:
        """Keys that begin with the prefix, in lexicographic order."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; nothing happens when there is none."""
