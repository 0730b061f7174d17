"""Addresses of stores as people write them: expanded, decoded, or refused in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from physlm.errors import StoreConfigError
from physlm.store import open_store
from physlm.store.local import LocalStore


def root(address: str) -> Path:
    store = open_store(address)
    assert isinstance(store, LocalStore)
    return store.root


def test_home_folders_and_percent_signs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert root("~/x") == tmp_path / "x"
    assert root(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert root("a~b") == Path("a~b").absolute()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("s3:/bucket/x", "lacks a slash: write s3://"),
        ("file:/x", "lacks a slash: write file://"),
        ("~nobody-of-that-name/x", "there is no home folder of that name"),
        ("a" * 256, "a name of 256 bytes is longer than the 255 that file systems take"),
        ("ftp://host/x", "must be a folder's path"),
        ("s4://bucket/x", "not s4://...; did you mean 's3'"),
        ("file://x", "must be a folder's path or file:///a/path"),
    ],
)
def test_what_cannot_be_one_is_refused(address: str, sentence: str) -> None:
    with pytest.raises(StoreConfigError, match=sentence):
        open_store(address)


def test_a_link_that_leads_nowhere_is_called_that(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(StoreConfigError, match=r"leads nowhere: .*link is a link to what isn't there"):
        open_store(tmp_path / "link")


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:x", "http://[::1", "127.0.0.1:9000", "http://a/b", "", "http://"]
)
def test_an_endpoint_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setenv("PHYSLM_S3_ENDPOINT", endpoint)
    with pytest.raises(StoreConfigError, match="PHYSLM_S3_ENDPOINT must be set"):
        open_store("s3://bucket/x")


WRITE = """
import os, sys
from physlm.errors import PhyslmError
from physlm.store import open_store
os.umask(int(sys.argv[2], 8))
try:
    open_store(sys.argv[1]).put("runs/a/run.json", sys.argv[3].encode())
except PhyslmError as error:
    sys.exit(str(error))
"""


def write_as(uid: int, store: Path, umask: str, text: str) -> str:
    command = ["setpriv", "--reuid", str(uid), "--regid", "54321", "--clear-groups", sys.executable, "-c", WRITE]
    done = subprocess.run([*command, str(store), umask, text], cwd="/", capture_output=True, text=True)
    return done.stderr.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_two_users_of_one_group_share_a_store() -> None:
    store = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    try:
        os.chown(store, 0, 54321)
        store.chmod(0o2775)
        assert write_as(54321, store, "002", "one") == ""
        left = store / ".tmp" / "0123"  # by a killed writer
        left.touch(mode=0o600)
        os.chown(left, 54321, 54321)
        assert write_as(54322, store, "002", "two") == ""
        record = store / "runs/a/.run.json.sha256"
        record.chmod(0o644)
        os.chown(record, 54321, 54321)
        assert "belongs to another user (uid 54321)" in write_as(54322, store, "002", "three")
        assert open_store(store).get("runs/a/run.json") == b"two"
    finally:
        subprocess.run(["rm", "-r", str(store)], check=True)
