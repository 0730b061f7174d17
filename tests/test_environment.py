"""What surrounds a process changes nothing: variables of other programs, missing homes, foreign modules nearby."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from physlm import code_cache, environment
from physlm.errors import UserError

# Two runs of models that learn nothing: enough to start a worker.
TINY = """
apiVersion: physlm/v1
kind: Experiment
name: tiny
question: 'see [/runs/x] Is [a] larger than [b] :smile:'
task: {type: biod, people: 20, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8, exposures: 2}
seeds: [0, 1]
measure: [loss]
"""
SECRET = "hunter2-0123456789"


def physlm(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-m", "physlm.cli", *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        errors="replace",
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tiny.yaml").write_text(TINY)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables",
    [
        # a rank of somebody's job, who waits for seven others
        {"WORLD_SIZE": "8", "RANK": "3", "LOCAL_RANK": "3", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "23456"},
        {"TORCHELASTIC_RUN_ID": "other", "TORCHELASTIC_RESTART_COUNT": "2", "PET_NPROC_PER_NODE": "4"},
        # what a Service named physlm-metrics injects, and an index that is empty
        {"PHYSLM_METRICS_PORT": "tcp://10.96.12.4:9464", "JOB_COMPLETION_INDEX": ""},
        {"MPLBACKEND": "module://nobody.has.this"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONOPTIMIZE": "2"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a_run_is_the_same_whatever_is_set(folder: Path, variables: Mapping[str, str]) -> None:
    done = physlm(folder, "run", "tiny.yaml", "--processes", "1", **variables)
    assert done.returncode == 0, done.stderr
    assert "page: " in done.stdout


@pytest.mark.slow
def test_the_port_of_metrics_is_told_off_a_terminal(folder: Path) -> None:
    done = physlm(folder, "train", "tiny.yaml", "--processes", "1", "--metrics-port", "0")
    assert re.search(r"metrics of shard 0: http://127\.0\.0\.1:[1-9]\d*/metrics", done.stderr), done.stderr


@pytest.mark.slow
def test_workers_import_nothing_from_the_working_folder(folder: Path) -> None:
    for name in ("queue", "yaml", "tokenize", "torch"):
        (folder / f"{name}.py").write_text("raise SystemExit('a module of the working folder was imported')")
    for nproc in ("1", "2"):
        done = physlm(folder, "train", "tiny.yaml", "--processes", "1", "--nproc", nproc, "--store", f"store-{nproc}")
        assert done.returncode == 0, done.stderr


def test_ranks_and_paths_of_a_surrounding_job_are_not_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "PET_NNODES"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HOME", "/home/someone")
    child = environment.for_child(OMP_NUM_THREADS="3")
    assert not {"RANK", "WORLD_SIZE", "MASTER_ADDR", "LOCAL_RANK", "TORCHELASTIC_RUN_ID", "PET_NNODES"} & set(child)
    assert (child["HOME"], child["OMP_NUM_THREADS"], child["PYTHONSAFEPATH"]) == ("/home/someone", "3", "1")


@pytest.mark.parametrize(
    ("value", "expected"), [("", None), ("  ", None), ("9464\n", 9464), ("0", 0), ("tcp://10.96.12.4:9464", None)]
)
def test_numbers_of_the_environment(monkeypatch: pytest.MonkeyPatch, value: str, expected: int | None) -> None:
    monkeypatch.setenv(environment.METRICS_PORT, value)
    assert environment.metrics_port() == expected


@pytest.mark.parametrize("value", ["http", "70000", "-1", "1.5", "9464 9465"])
def test_a_number_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(environment.METRICS_PORT, value)
    with pytest.raises(UserError, match=r"PHYSLM_METRICS_PORT: .* must be a whole number from 0 to 65535"):
        environment.metrics_port()


@pytest.mark.parametrize("name", environment.SECRETS)
@pytest.mark.parametrize("value", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}\r\n"])
def test_credentials_are_stripped(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    assert environment.secret(name) == SECRET


@pytest.mark.parametrize("value", [f"{SECRET}\nX: y", f"{SECRET} x", f"{SECRET}\x00", f"{SECRET}ü"])
def test_a_credential_that_no_header_takes_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(os, "environ", {environment.KFP_TOKEN: value})
    with pytest.raises(UserError, match="PHYSLM_KFP_TOKEN: holds a character") as refused:
        environment.secret(environment.KFP_TOKEN)
    assert SECRET not in str(refused.value)


def test_no_secret_is_printed_whatever_a_library_says(folder: Path) -> None:
    code = (
        "from physlm import environment; import sys; environment.guard();"
        "import os; token = os.environ['AWS_SESSION_TOKEN'];"
        "print('out', token); print(f'err {token!r}', file=sys.stderr); raise ValueError(f'Invalid header {token!r}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "AWS_SESSION_TOKEN": f"{SECRET}\n"},
        capture_output=True,
        text=True,
    )
    assert SECRET not in done.stdout + done.stderr
    assert "out <AWS_SESSION_TOKEN>" in done.stdout
    assert "ValueError: Invalid header" in done.stderr


@pytest.mark.services
def test_a_token_with_a_line_break_reaches_the_store_without_it(folder: Path, s3_server: object) -> None:
    variables = dict(s3_server.environment)  # type: ignore[attr-defined]
    variables["AWS_SECRET_ACCESS_KEY"] += "\n"
    done = physlm(folder, "laws", "catalog", "--store", "s3://physlm/environment", **variables)
    assert done.returncode == 0, done.stderr
    variables["AWS_SECRET_ACCESS_KEY"] = f"{SECRET}\n"
    done = physlm(folder, "laws", "catalog", "--store", "s3://physlm/environment", **variables)
    assert done.returncode == 2
    assert SECRET not in done.stdout + done.stderr


def test_a_cache_of_compiled_code_is_used_only_where_nobody_else_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def chosen(named: Path) -> Path:
        monkeypatch.setenv(code_cache.VARIABLE, str(named))
        code_cache.secure()
        return Path(os.environ[code_cache.VARIABLE])

    own = tmp_path / "own"
    own.mkdir(mode=0o700)
    assert chosen(own) == own
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    private = chosen(shared)
    assert private != shared
    found = private.stat()
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), 0o700)
    file = tmp_path / "file"
    file.touch()
    assert chosen(file) == private


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_user_without_a_home_can_compile(folder: Path) -> None:
    command = ["setpriv", "--reuid", "54321", "--clear-groups", sys.executable, "-m", "physlm.cli", "--version"]
    done = subprocess.run(command, env={**os.environ, "HOME": "/nonexistent"}, cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("physlm ")
