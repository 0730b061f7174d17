"""The engines that run the pipeline `discover`: under kfp.local on this machine, and on a cluster.

Both are found by name, through the package's entry points; see `physlm.engines`.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from kfp.compiler import Compiler

from physlm import environment
from physlm.errors import ExperimentError, Interrupted, PhyslmError, UserError
from physlm.experiment import Experiment
from physlm.launch.kubeflow import Kubeflow, Submission
from physlm.steps import Event, Listener, in_order, silent
from physlm_components import transport
from physlm_components.running import heard
from physlm_pipelines.discover import discover

PARAMETER_BYTES = 10_000
"""The longest parameter that a Kubeflow Pipelines server takes, unless it is told otherwise."""


def run_local(experiment: Experiment, store: str, on_event: Listener = silent) -> None:
    """Run an experiment as the compiled pipeline under kfp.local, each step in a process of its own.

    Raises what the failing step has raised, and Interrupted on Ctrl-C, once the step has stored its state.
    """
    arguments = _arguments(experiment, store)
    with TemporaryDirectory(prefix="physlm-") as folder:
        (Path(folder) / "arguments.json").write_text(json.dumps(arguments))
        with subprocess.Popen(
            [sys.executable, "-u", "-W", "ignore", "-m", "physlm_pipelines.local", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl-C goes to this process alone, which hands it on once
        ) as process:
            try:
                _follow(process, on_event)
            except BaseException:
                _signal(process, signal.SIGTERM)
                raise


def _follow(process: subprocess.Popen[str], on_event: Listener) -> None:
    """Hear the pipeline to its end. Raises why it failed, if it did."""
    assert process.stdout is not None
    heard_last = _Heard(on_event)
    interrupted = False
    while True:
        try:
            for line in process.stdout:
                heard_last.take(line)
            break
        except KeyboardInterrupt:
            interrupted = True
            _signal(process, signal.SIGINT)
    if process.wait() != 0:
        raise Interrupted("stopped; everything done so far is stored") if interrupted else heard_last.failure()


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, number)


class _Heard:
    """What the pipeline's output has said so far: events go to the listener, and what may explain a failure is kept."""

    def __init__(self, on_event: Listener) -> None:
        self._on_event = on_event
        self._step = ""
        self._line = ""
        self._error: PhyslmError | None = None

    def take(self, line: str) -> None:
        """Take a line of output. Those of steps are indented by kfp.local, whose own are not."""
        if started := re.search(r"Executing task .*'(\w+)'", line):
            self._step = started[1]
        elif line.startswith("    ") and line.strip():
            self._line = line.strip()
            match heard(self._line):
                case Event() as event:
                    self._on_event(event)
                case PhyslmError() as error:
                    self._error = error
        elif not self._step and line.strip():
            self._line = line.strip()

    def failure(self) -> PhyslmError:
        """Why the pipeline has failed: what the step has raised, or the last that was printed."""
        return self._error or PhyslmError(f"{self._step or 'the pipeline'} failed; the last it said was: {self._line}")


def submit(
    experiment: Experiment,
    store: str,
    on_event: Listener = silent,
    *,
    host: str | None = None,
    namespace: str | None = None,
    service_account: str | None = None,
    wait: bool = True,
) -> dict[str, str]:
    """Submit an experiment to a cluster as a run of the pipeline, and wait for its end unless told otherwise.

    host              address of the Kubeflow Pipelines API; PHYSLM_KFP_HOST if not given
    namespace         of the run, on a server of many users; one for a single user has its own
    service_account   that the pods run as; the server's usual one if not given
    Returns `run_id` and `url`. Raises UserError for what can't be asked for or isn't allowed, and PhyslmError if the
    server can't be reached or the run has failed.
    """
    host = host or environment.text(environment.KFP_HOST)
    if not host:
        raise UserError("PHYSLM_KFP_HOST must be set to the address of the Kubeflow Pipelines API, or --host be given")
    if "@" in store:
        raise UserError("store: the address must hold no credentials; pods get them from a Secret")
    if not store.startswith("s3://"):
        raise UserError(f"store: pods see no folder of this machine such as {store}; use s3://bucket/prefix")
    arguments = _arguments(experiment, store)
    server = Kubeflow(host, namespace)
    with TemporaryDirectory(prefix="physlm-") as folder:
        package = Path(folder) / "discover.yaml"
        Compiler().compile(discover, str(package))
        run = server.submit(
            package,
            arguments,
            experiment=experiment.name,
            description=experiment.file.question,
            name=f"{experiment.name}-{experiment.experiment_id}",
            service_account=service_account,
        )
    if wait:
        _wait(server, run, on_event)
    return {"run_id": run.run_id, "url": run.url}


def _wait(server: Kubeflow, run: Submission, on_event: Listener) -> None:
    """Tell how far the run is until it has ended. Raises PhyslmError unless it has succeeded."""

    def on_progress(tasks: Mapping[str, str]) -> None:
        for step in in_order():
            match tasks.get(step.name):
                case "RUNNING":
                    on_event(Event(step.name, 0, 1, text="running"))
                case "SUCCEEDED":
                    on_event(Event(step.name, 1, 1, text="succeeded"))

    try:
        state, tasks = server.watch(run, on_progress)
    except KeyboardInterrupt:
        raise Interrupted(f"no longer waiting; the run goes on at {run.url}") from None
    if state != "SUCCEEDED":
        failed = next((f" in step {step.name}" for step in in_order() if tasks.get(step.name) == "FAILED"), "")
        raise PhyslmError(f"the run has ended as {state}{failed}; its logs are at {run.url}")


def _arguments(experiment: Experiment, store: str) -> dict[str, str]:
    text = transport.sent(experiment.source)
    size = len(text.encode())
    if size > PARAMETER_BYTES:
        raise ExperimentError(
            f"{experiment.name}: the experiment file has {size:,} bytes, and Kubeflow Pipelines takes parameters of at "
            f"most {PARAMETER_BYTES:,}; shorten it (comments count), or use the engine 'local'"
        )
    return {"store": store, "experiment_file": text}
