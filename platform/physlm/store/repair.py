"""Find objects that are damaged, and take away what is made anew by the next run; nothing else is touched.

A disk that fills up, a copy that was cut, a bit that flips: the object no longer matches its checksum, and every step
that reads it fails. What is a function of the experiment (models, observations, worlds, tables) is removed, with the
markers that say it is there, so that `physlm run` makes it again, bit by bit the same. Evidence about laws and
preregistrations can't be made again: they are told and stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from physlm.errors import CorruptObject, MissingObject
from physlm.store import layout
from physlm.store.store import Store

_READERS = 8


@dataclass(frozen=True)
class Damage:
    """An object that can't be read as what it should be.

    removable: whether the next run makes it anew.
    """

    key: str
    reason: str
    removable: bool


def damaged(store: Store, prefix: str = "", on_progress: Callable[[int], None] = lambda done: None) -> Iterator[Damage]:
    """Read every object below a prefix, with bounded memory, and tell the damaged ones. on_progress: objects read."""
    with ThreadPoolExecutor(_READERS) as readers:
        for done, (key, reason) in enumerate(readers.map(lambda key: (key, _fault(store, key)), store.list(prefix)), 1):
            if reason is not None:
                yield Damage(key, reason, not layout.is_irreplaceable(key))
            on_progress(done)


def remove(store: Store, damage: Damage) -> list[str]:
    """Remove a damaged object, and before it the markers that make it count; returns the keys."""
    markers = [
        key
        for prefix in layout.marker_prefixes(damage.key)
        for key in store.list(prefix)
        if key.endswith(".json") and key != damage.key
    ]
    for key in (*markers, damage.key):
        store.delete(key)
    return [*markers, damage.key]


def _fault(store: Store, key: str) -> str | None:
    try:
        if key.endswith(".json"):
            store.get_json(key)
        else:
            store.check(key)
    except MissingObject:
        return None  # gone since it was listed
    except CorruptObject as error:
        return str(error)
    return None
