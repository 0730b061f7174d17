"""The bodies of components: a step in a process of its own that prints how far it is, and ends with one sentence.

A body prints one JSON object a line on its standard output, among whatever else is logged there:

    {"step": "train", "done": 310.0, "total": 1200.0, "unit": "work", "text": "..."}    an Event of physlm.steps
    {"error": "StoreError", "text": "can't write runs/3f2a/run.json in ..."}            its end; the exit code is then 1
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from physlm import environment, errors, experiment, steps
from physlm.errors import Interrupted, PhyslmError
from physlm.steps import Event, Listener
from physlm.store import open_store


def begin_step(name: str, address: str, text: str) -> str:
    """Do the first step in the store at an address, with the text of an experiment file; returns the experiment's key.

    name: of the step. Ends the process with code 1 if it fails, as all bodies do.
    """
    with running() as on_event:
        parsed = experiment.parse(text, steps.known_names())
        steps.registry[name]().run(open_store(address), parsed, on_event)
    return parsed.key


def run_step(name: str, address: str, experiment_key: str, metrics: Any, summary: Any, page: Any) -> None:
    """Do a step with the experiment that the first one has written in the store at an address.

    metrics, summary, page: Kubeflow's artifacts, for those of them that the step shows; the others are None.
    """
    with running() as on_event:
        store = open_store(address)
        opened = steps.open_experiment(store, experiment_key)
        step = steps.registry[name]()
        step.run(store, opened, on_event)
        if not step.shows:
            return
        outcome = step.outcome(store, opened)
        if metrics is not None:
            for number, value in outcome.metrics.items():
                metrics.log_metric(number, value)
        if summary is not None:
            Path(summary.path).write_text(f"```\n{outcome.summary}\n```\n")
        if page is not None:
            Path(page.path).write_bytes(outcome.page)


@contextmanager
def running() -> Iterator[Listener]:
    """Around a component's body: gives it a listener that prints, and turns what it raises into a line and SystemExit.

    SIGTERM, with which a cluster takes a pod away, interrupts like Ctrl-C, so that training stores its state.
    """
    os.environ.pop("MPLBACKEND", None)
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield _printer()
    except PhyslmError as error:
        _end(error)
    except KeyboardInterrupt:
        _end(Interrupted("stopped; everything done so far is stored"))
    except Exception as error:
        print(environment.redacted(traceback.format_exc()), file=sys.stderr)
        _end(PhyslmError(f"{type(error).__name__}: {error}"))
    finally:
        signal.signal(signal.SIGTERM, former)


def heard(line: str) -> Event | PhyslmError | None:
    """What a printed line says: an event, or why the body ended; None if it is not a body's."""
    try:
        document = json.loads(line)
    except ValueError:
        return None
    match document:
        case {"step": _, "done": _, "total": _, "unit": _, "text": _}:
            return Event(**document)
        case {"error": str(name), "text": str(text)}:
            error: PhyslmError = getattr(errors, name)(text)
            return error
    return None


def _printer() -> Listener:
    """Prints an event when the step's whole percentage has changed, so that a log stays short."""
    shown: dict[str, int] = {}

    def on_event(event: Event) -> None:
        percent = int(100 * event.done / event.total) if event.total else 0
        if percent != shown.get(event.step):
            shown[event.step] = percent
            print(json.dumps(asdict(event)), flush=True)

    return on_event


def _end(error: PhyslmError) -> None:
    print(json.dumps({"error": type(error).__name__, "text": environment.redacted(str(error))}), flush=True)
    raise SystemExit(1)
