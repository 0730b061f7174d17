"""Nothing secret goes where nobody sent it: no redirects, a warning of plain http, no port beyond loopback."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from physlm import environment
from physlm.errors import StoreConfigError
from physlm.store import open_store

TOKEN = "session-token-0123456789"


@contextmanager
def serving(location: str | None, seen: list[dict[str, str]]) -> Iterator[int]:
    """An HTTP server that notes the headers that it is sent, and redirects if it has a location."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            seen.append(dict(self.headers))
            self.send_response(307 if location else 200)
            if location:
                self.send_header("Location", f"{location}{self.path}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_HEAD = do_DELETE = answer

        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def test_a_redirect_takes_neither_token_nor_data_along(monkeypatch: pytest.MonkeyPatch) -> None:
    stolen: list[dict[str, str]] = []
    with serving(None, stolen) as thief, serving(f"http://127.0.0.1:{thief}", []) as server:
        monkeypatch.setenv("PHYSLM_S3_ENDPOINT", f"http://127.0.0.1:{server}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "something")
        monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        store = open_store("s3://bucket/x")
        for use in (
            lambda: store.get("a"),
            lambda: store.put("a", b"1"),
            lambda: store.exists("a"),
            lambda: list(store.list()),
            lambda: store.delete("a"),
        ):
            with pytest.raises(StoreConfigError, match="sends requests on to another address"):
                use()
    assert stolen == []


@pytest.mark.parametrize(
    ("address", "warned"),
    [
        ("http://127.0.0.1:9000", False),
        ("http://[::1]:9000", False),
        ("http://localhost:9000", False),
        ("https://s3.example.org", False),
        ("http://10.0.0.7:9000", True),
        ("http://s3.example.org", True),
        ("http://minio.minio:9000", True),
    ],
)
def test_plain_http_beyond_this_machine_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, address: str, warned: bool
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        environment.warn_of_plain_http(address, "tokens")
    assert bool(found) == warned


def test_within_a_cluster_its_own_services_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    environment.warn_of_plain_http("http://minio-service.kubeflow:9000", "tokens")
    environment.warn_of_plain_http("http://minio.minio.svc.cluster.local:9000", "tokens")


@pytest.mark.services
def test_a_clock_that_is_off_is_called_that(s3_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says so too, but a library's code for it reads like wrong credentials."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    late = lambda: datetime.now(UTC) - timedelta(minutes=40)  # noqa: E731
    monkeypatch.setattr("minio.time.utcnow", late)
    with pytest.raises(StoreConfigError, match="this machine's clock is off"):
        open_store(f"s3://{s3_server.bucket}/clock").put("a", b"1")


RANK = """
import os, torch
from glob import glob
from physlm.training.ranks import Counters, joined
with joined(torch.device("cpu")) as ranks:
    counters = Counters(ranks)
    counters.add({"tokens": 1 + ranks.rank})
    flag, = ranks.any_true(ranks.rank == 1)
    told = ranks.broadcast("word", "from the first" if ranks.is_first else "from the other")
    ranks.barrier()
    total = counters.take("tokens") if ranks.is_first else 0
    rows = [line.split() for table in ("/proc/net/tcp", "/proc/net/tcp6") for line in open(table)]
    fds = [fd for pid in (os.getpid(), os.getppid()) for fd in glob(f"/proc/{pid}/fd/[0-9]*")]
    links = [os.readlink(fd) for fd in fds if os.path.lexists(fd)]
    print("LISTENING", *(row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in links), flush=True)
    print("AGREED", ranks.size, flag, told, total, flush=True)
    ranks.barrier()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/net/tcp")
def test_ranks_of_one_machine_listen_on_loopback_alone(tmp_path: Path) -> None:
    """Torchrun's stores take pickled commands from anyone who reaches their port; ours are files."""
    (tmp_path / "rank.py").write_text(RANK)
    command = [sys.executable, "-m", "physlm.training.torchrun", "--nproc-per-node=2", str(tmp_path / "rank.py")]
    variables = environment.for_child(TMPDIR=str(tmp_path))
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert "AGREED 2 True from the first 3" in done.stdout
    opened = set(re.findall(r"\b(?:[0-9A-F]{8}|[0-9A-F]{32}):[0-9A-F]{4}\b", done.stdout))
    assert opened, "the ranks' own sockets were not found, so this shows nothing"
    assert all(_is_loopback(address) for address in opened), f"these ports are open to others: {opened}"
    assert not list(tmp_path.glob("physlm-ranks-*"))


def _is_loopback(address: str) -> bool:
    host, _, _ = address.partition(":")
    words = [bytes.fromhex(host[i : i + 8])[::-1] for i in range(0, len(host), 8)]  # each in the machine's order
    packed = b"".join(words)
    if len(packed) == 4:
        return packed[0] == 127
    text = socket.inet_ntop(socket.AF_INET6, packed)
    return text == "::1" or text.startswith("::ffff:127.")
