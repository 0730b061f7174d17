"""Where results are kept: one contract, and a file for each kind of store behind it, which registers itself."""

from __future__ import annotations

import re
from pathlib import Path

from physlm.errors import StoreConfigError
from physlm.registry import nearest
from physlm.store.local import LocalStore
from physlm.store.store import Store, registry

__all__ = ["Store", "open_store", "registry"]


def open_store(address: str | Path) -> Store:
    """The store at an address: a folder's path (~ is the home folder) or a URL such as s3://bucket/prefix.

    Nothing is read or written yet. Raises StoreConfigError if the address can't be one, or if its store lacks what it
    needs (see the store's own file, such as `physlm.store.s3`).
    """
    scheme, separator, _ = str(address).partition("://")
    if isinstance(address, Path) or (address and not separator):
        if found := re.match(rf"({'|'.join(registry)}):", str(address)):
            raise StoreConfigError(
                f"the store's address {str(address)[:60]} lacks a slash: write {found[1]}://..., or ./{address} for a "
                "folder of that name"
            )
        return LocalStore(_expanded(Path(address)))
    if scheme not in registry:
        *most, last = ["a folder's path", *(store.form for store in registry.values())]
        meant = f"; {nearest(scheme, list(registry))}" if scheme else ""
        raise StoreConfigError(
            f"the store's address must be {', '.join(most)} or {last}, not {scheme}{separator}...{meant}"
        )
    return registry[scheme].open(address)


def _expanded(path: Path) -> Path:
    """The path with ~ as the home folder, which shells leave as it is behind an equals sign."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise StoreConfigError(f"the store's address {path}: there is no home folder of that name") from None
