"""Fixtures for every test."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).parents[1]

# No test depends on how fast the machine is: neither here nor by a time limit anywhere. What hangs is ended by the
# `timeout` of pyproject.toml, which is far above what any test takes.
settings.register_profile("physlm", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("physlm")
# Nor on how many cores there are, in this process or in those that it starts.
os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk() -> Iterator[None]:
    """What a power loss would leave is not in question here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session")
def binary() -> Callable[[str], str]:
    """Find a real program on PATH, in .tools/bin or beside this Python.

    A test that lacks its program is skipped, or fails where PHYSLM_REQUIRE_SERVICES=1.
    """

    def find(name: str) -> str:
        folders = (str(ROOT / ".tools/bin"), str(Path(sys.executable).parent), os.environ["PATH"])
        found = shutil.which(name, path=os.pathsep.join(folders))
        if found is None:
            reason = f"{name} is not installed (helm and kubectl: python .ci/tools; servers: their Debian packages)"
            if os.environ.get("PHYSLM_REQUIRE_SERVICES") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find


@dataclass(frozen=True)
class S3Server:
    """A running S3 server with one bucket, and what its clients need to know."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which `open_store(f"s3://{bucket}/...")` finds the server."""
        return {
            "PHYSLM_S3_ENDPOINT": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": "us-east-1",
        }

    def is_ready(self) -> bool:
        from minio import Minio
        from minio.error import MinioException
        from urllib3 import PoolManager
        from urllib3.exceptions import HTTPError

        address = self.endpoint.removeprefix("http://")
        impatient = PoolManager(retries=False)
        client = Minio(address, self.access_key, self.secret_key, secure=False, http_client=impatient)
        try:
            return client.bucket_exists(self.bucket)
        except (MinioException, HTTPError):
            return False


@pytest.fixture(scope="session")
def s3_server(binary: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A SeaweedFS for all tests, which are marked `services` and keep to a prefix of their own."""
    folder = tmp_path_factory.mktemp("seaweedfs")
    with ExitStack() as held:
        listening = [
            f"{part}.{port}" for part in ("s3", "master", "volume", "filer", "admin") for port in ("port", "port.grpc")
        ]
        probes = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in listening]
        ports = {option: probe.getsockname()[1] for option, probe in zip(listening, probes, strict=True)}
    server = S3Server(f"http://127.0.0.1:{ports['s3.port']}", "tester-access", "tester-secret", "physlm")
    identity = {
        "name": "tester",
        "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "identities.json").write_text(json.dumps({"identities": [identity]}))
    options = {
        **ports,
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "bucket": server.bucket,
        "s3.config": folder / "identities.json",
        "s3.autoCreateBucket": "false",
        "s3.localSocket": folder / "s3.sock",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "volume.preStopSeconds": 0,
        "master.telemetry": "false",
        "admin.ui": "false",
        "webdav": "false",
    }
    command = [binary("weed"), "mini", *(f"-{option}={value}" for option, value in options.items())]
    environment = os.environ | {"GOMEMLIMIT": "300MiB", "TMPDIR": str(folder)}
    log = folder / "log"
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            while not server.is_ready():
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            yield server
        finally:
            process.terminate()
    shutil.rmtree(folder)
