"""Where results are kept: one contract, a local folder and S3 behind it."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from physlm.errors import StoreConfigError
from physlm.store.local import LocalStore
from physlm.store.store import Store

__all__ = ["Store", "open_store"]


def open_store(address: str | Path) -> Store:
    """The store at an address: a folder's path (~ is the home folder), file:///its/path or s3://bucket/prefix.

    Nothing is read or written yet. Raises StoreConfigError if the address can't be one, or if it is S3's and the
    environment (see `physlm.store.s3`) doesn't say where and as whom.
    """
    scheme, separator, rest = str(address).partition("://")
    if isinstance(address, Path) or (address and not separator):
        if found := re.match(r"(s3|file):", str(address)):
            raise StoreConfigError(
                f"the store's address {str(address)[:60]} lacks a slash: write {found[1]}://..., or ./{address} for a "
                "folder of that name"
            )
        return LocalStore(_expanded(Path(address)))
    if scheme == "file" and rest.startswith("/"):
        return LocalStore(unquote(rest))
    if scheme == "s3":
        try:
            from physlm.store.s3 import S3Store
        except ModuleNotFoundError:
            raise StoreConfigError(
                "an s3:// store needs the minio client; install it with: pip install 'physlm[s3]'"
            ) from None
        return S3Store(str(address))
    raise StoreConfigError(
        f"the store's address must be a folder's path, file:///a/path or s3://bucket/prefix, not {scheme}{separator}..."
    )


def _expanded(path: Path) -> Path:
    """The path with ~ as the home folder, which shells leave as it is behind an equals sign."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise StoreConfigError(f"the store's address {path}: there is no home folder of that name") from None
