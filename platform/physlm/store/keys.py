"""What a key may look like: the same in every store, on every file system."""

from __future__ import annotations

import re

from physlm.errors import StoreError

# No leading dot: those names are the stores' own. No leading dash: shells take it for an option.
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=+@,-]{0,127}")
_LONGEST = 800  # S3 allows 1,024 bytes, of which some go to the store's own prefix


def is_key(key: str) -> bool:
    """Whether a store could hold an object under this key."""
    return len(key) <= _LONGEST and all(_PART.fullmatch(part) for part in key.split("/"))


def check_key(key: str) -> None:
    """Raises StoreError, saying what is wrong with the key."""
    if not is_key(key):
        raise StoreError(f"{key!r} can't be an object's key: {_fault(key)}")


def check_prefix(prefix: str) -> None:
    """Raises StoreError if no key can begin with this prefix."""
    if prefix and not is_key(prefix.removesuffix("/")):
        raise StoreError(f"{prefix!r} can't be the beginning of a key: {_fault(prefix.removesuffix('/'))}")


def _fault(key: str) -> str:
    if not key:
        return "it is empty"
    if len(key) > _LONGEST:
        return f"it is longer than {_LONGEST} characters"
    part = next(part for part in key.split("/") if not _PART.fullmatch(part))
    if not part:
        return "it has an empty part, as from a slash at an end or two slashes together"
    return (
        f"the part {part!r} must be 1 to 128 letters, digits or any of _ . = + @ , - and begin with a letter, "
        "a digit or _"
    )
