"""Where results are kept: one contract, a local folder and S3 behind it."""

from __future__ import annotations

from pathlib import Path

from physlm.errors import StoreConfigError
from physlm.store.contract import Store
from physlm.store.local import LocalStore

__all__ = ["Store", "open_store"]


def open_store(address: str | Path) -> Store:
    """The store at an address: a folder's path, or file:///its/path.

    Nothing is read or written yet. Raises StoreConfigError if the address can't be one.
    """
    if isinstance(address, Path) or "://" not in address:
        if not str(address):
            raise StoreConfigError("the store's address is empty; give a folder's path or s3://bucket/prefix")
        return LocalStore(address)
    scheme, _, rest = address.partition("://")
    if scheme == "file" and rest.startswith("/"):
        return LocalStore(rest)
    raise StoreConfigError(
        f"the store's address {address} is not a folder's path, file:///a/path or s3://bucket/prefix"
    )
