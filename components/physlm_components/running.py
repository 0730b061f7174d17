"""What the bodies of components share: opening the store, telling how far they are, and ending with one sentence.

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

from physlm import environment, errors, steps
from physlm.errors import Interrupted, PhyslmError
from physlm.experiment import Experiment
from physlm.steps import Event, Listener
from physlm.store import Store, open_store


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


@contextmanager
def opened(address: str, experiment_key: str) -> Iterator[tuple[Store, Experiment, Listener]]:
    """`running` with the store at an address, and the experiment that the step `plan` has written there."""
    with running() as on_event:
        store = open_store(address)
        yield store, steps.open_experiment(store, experiment_key), on_event


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
