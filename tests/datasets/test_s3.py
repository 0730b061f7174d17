"""Data sets in S3, written by processes that open the store themselves."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from physlm import runs
from physlm.datasets import write_dataset
from physlm.store import Store, open_store
from physlm.tasks import Stream

if TYPE_CHECKING:
    from tests.conftest import S3Server

pytestmark = pytest.mark.services
CFG = runs.task_config({"type": "cfg", "sizes": [1, 3, 3, 3]})


def content(store: Store) -> dict[str, str]:
    return {key: hashlib.sha256(store.get(key)).hexdigest() for key in store.list()}


@pytest.mark.slow
def test_a_bucket_gets_the_same_objects_as_a_folder(
    s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    bucket, folder = open_store(f"s3://{s3_server.bucket}/datasets"), open_store(tmp_path)
    for store, workers in ((bucket, 2), (folder, 1)):
        data = write_dataset(store, CFG, Stream(), tokens=30_000, labels=True, workers=workers, shard_tokens=4000)
        data.check()
    assert content(bucket) == content(folder)
    before = content(bucket)
    write_dataset(bucket, CFG, Stream(), tokens=30_000, labels=True, workers=2, shard_tokens=4000)
    assert content(bucket) == before
