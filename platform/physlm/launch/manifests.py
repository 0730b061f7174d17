"""What each of several processes has to do, as a document in the store that all of them read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from physlm.experiment import Experiment
from physlm.store import Store

_DIGITS = 12


def put(store: Store, key_of: Callable[[str, str], str], experiment: Experiment, shards: Sequence[Any]) -> str:
    """Write a manifest and return its key: the experiment's file, and what each shard has to do, plain JSON.

    key_of: the key, given the experiment's folder and the manifest's digest.
    """
    manifest = {"experiment": experiment.source, "shards": shards}
    key = key_of(experiment.key, hashlib.sha256(json.dumps(manifest).encode()).hexdigest()[:_DIGITS])
    store.put_json(key, manifest)
    return key
