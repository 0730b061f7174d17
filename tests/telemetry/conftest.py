"""A real Prometheus and a real Pushgateway, each on a free port, stopped after the test."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import yaml

from physlm.telemetry.prometheus import Prometheus
from physlm.telemetry.rules import rule_groups

HANGS_SECONDS = 300  # a server that has not answered by then never will, on any machine


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(what: str, check: Callable[[], Any]) -> Any:
    """The first true answer of `check`, which is asked until then."""
    deadline = time.monotonic() + HANGS_SECONDS
    while not (answer := check()):
        assert time.monotonic() < deadline, f"waited {HANGS_SECONDS} s in vain for {what}"
        time.sleep(0.05)
    return answer


@contextmanager
def running(command: list[str], ready: str, log: Path) -> Iterator[None]:
    """A server process, from the moment its `ready` address answers."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=output) as server:

        def answers() -> bool:
            assert server.poll() is None, log.read_text()
            try:
                return httpx.get(ready).status_code == 200
            except httpx.TransportError:
                return False

        try:
            eventually(f"{command[0]} ready", answers)
            yield
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def pushgateway(binary: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Pushgateway."""
    program, port = binary("prometheus-pushgateway"), free_port()
    address, log = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("pushgateway") / "log"
    # Debian's default is a file that every Pushgateway on the machine would share.
    command = [program, f"--web.listen-address=127.0.0.1:{port}", "--persistence.file="]
    with running(command, f"{address}/-/ready", log):
        yield address


@dataclass(frozen=True)
class Scraper:
    """A Prometheus that scrapes the Pushgateway and whatever serves on its target ports, every second."""

    address: str
    target_ports: tuple[int, int]

    def wait_for(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """What a query gives once it gives something."""
        with Prometheus(self.address) as prometheus:
            found: list[tuple[dict[str, str], float]] = eventually(promql, lambda: prometheus.query(promql))
        return found


@pytest.fixture(scope="session")
def prometheus(
    binary: Callable[[str], str], pushgateway: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scraper]:
    """One for all tests, since it takes 5 s to begin to scrape: tests name their experiments differently."""
    folder = tmp_path_factory.mktemp("prometheus")
    program, port, targets = binary("prometheus"), free_port(), (free_port(), free_port())
    scraped = [f"127.0.0.1:{target}" for target in targets] + [pushgateway.removeprefix("http://")]
    job = {"job_name": "test", "honor_labels": True, "static_configs": [{"targets": scraped}]}
    # A target that takes longer than the timeout to answer, as on a loaded machine, would be gone for a while.
    every = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "200ms"}
    config = {"global": every, "rule_files": ["rules.yaml"], "scrape_configs": [job]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "rules.yaml").write_text(yaml.safe_dump(rule_groups()))
    command = [
        program,
        f"--config.file={folder / 'config.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    address = f"http://127.0.0.1:{port}"
    with running(command, f"{address}/-/ready", folder / "log"):
        yield Scraper(address, targets)


@pytest.fixture
def observations() -> pl.DataFrame:
    """Six runs in five conditions, as the catalogue has them: uneven seeds, a learning curve, awkward numbers."""
    rows = []
    for width, exposures, seeds, value in (
        (16, 100, (0, 1), 1.0),
        (16, 300, (0,), 1e-300),
        (32, 100, (0,), float("nan")),
        (32, 300, (0,), 0.1 + 0.2),
        (None, 300, (0,), -1 / 3),
    ):
        for seed in seeds:
            run = {
                "run_id": f"{width}-{exposures}-{seed}",
                "condition": f"c{width}x{exposures}",
                "seed": seed,
                "tokens": 10 * exposures,
                "exposures": float(exposures),
                "flops": 1.5e15 * exposures,
                "parameters": 12_345,
                "parameters_counted": 12_000 + seed,
                "model.width": width,
                "model.type": "gpt2" if width else "mamba",
                "training.exposures": exposures,
                "source": "measure",
            }
            loss = {**run, "measure": "loss", "unit": "nats", "n": 100, "floor": 0.25}
            rows.append({**loss, "value": value + seed, "stderr": 0.01})
            rows.append({**loss, "value": 5.0, "tokens": 10, "exposures": 1.0, "source": "train"})
            rows.append(
                {**run, "measure": "accuracy", "unit": "ratio", "value": 1e6 / 3, "chance": 1 / 7, "ceiling": 1}
            )
    return pl.DataFrame(rows, infer_schema_length=None)
