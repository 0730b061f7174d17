"""The observing process of one shard: `python -m physlm.evaluation --store URL --jobs KEY --shard 0`.

KEY is the manifest that the step `measure` or `probe` has written: the experiment's file, and what each shard has to
do, by rank. Progress goes to standard output, one JSON object a line: {"name": "v", "runs": 0.4}, of a measure or probe
and how many runs more it has been taken of.

Several ranks, `torchrun --nproc-per-node 2 -m physlm.evaluation ...`, do each its own part on its own GPU, and have
nothing to say to each other. Observations are stored job by job: an end at any time loses the jobs under way, and
whoever begins again finds the others done.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from functools import partial
from typing import Any

from physlm import environment, experiment, orphan_watchdog
from physlm.errors import PhyslmError
from physlm.evaluation.jobs import Job, pending
from physlm.evaluation.running import run_job
from physlm.store import open_store
from physlm.training.malloc import keep_freed_memory


def main(arguments: list[str] | None = None) -> int:
    """Do this rank's jobs one after the other; those done already are left alone."""
    environment.guard()
    parser = argparse.ArgumentParser(prog="python -m physlm.evaluation", description=__doc__)
    parser.add_argument("--store", required=True, help="address of the store, such as ./physlm-store or s3://bucket")
    parser.add_argument("--jobs", required=True, help="key of the manifest that names each shard's jobs")
    parser.add_argument("--shard", type=int, default=environment.completion_index(), help="which shard to do")
    options = parser.parse_args(arguments)
    keep_freed_memory()
    orphan_watchdog.watch(lambda: os._exit(3))  # nothing is half-written: an object is put whole or not at all
    try:
        store = open_store(options.store)
        manifest: dict[str, Any] = store.get_json(options.jobs)
        study = experiment.parse(manifest["experiment"])
        for document in manifest["shards"][options.shard][int(os.environ.get("RANK", "0"))]:
            job = pending(store, Job.from_json(document))  # torchrun may have begun anew
            run_job(store, study, job, partial(_print, job.name))
    except PhyslmError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _print(name: str, runs: float) -> None:
    print(json.dumps({"name": name, "runs": runs}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
