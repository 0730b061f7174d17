"""Documents that are written once, under the hash of what they say, and checked against it when they are read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from physlm.errors import CorruptObject
from physlm.store.store import Store

_DIGITS = 16


def digest(document: Mapping[str, Any]) -> str:
    """Hash of a document's canonical form."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]


def seal(store: Store, key: str, document: Mapping[str, Any]) -> bool:
    """Write a document with its hash as `id`, unless the key is taken; tells whether it was written."""
    text = json.dumps({**document, "id": digest(document)}, sort_keys=True, indent=2, ensure_ascii=False)
    return store.create(key, f"{text}\n".encode())


def read(store: Store, key: str) -> dict[str, Any]:
    """A sealed document. Raises MissingObject, or CorruptObject if it was changed after it was written."""
    document: dict[str, Any] = store.get_json(key)
    content = {name: value for name, value in document.items() if name != "id"}
    if document.get("id") != digest(content):
        raise CorruptObject(f"{key} was changed after it was written: its content doesn't match its id")
    return document
