"""Training killed at random moments, on one rank and on two: are the final observations those of an undisturbed run?

    python tests/benchmarks/bench_kills.py [--kills 10] [--exposures 400]

On one rank the process is killed with SIGKILL and started again. On two, a rank is killed (the first or the second,
by chance) and torchrun begins anew. Prints how many observations there are, whether all are equal bit by bit to those
of an undisturbed run on as many ranks, and the largest relative difference to one rank: there the parts of a batch are
added up in another order. Ends with code 1 if bits differ on the same number of ranks.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from physlm import catalog, experiment
from physlm.experiment import Experiment
from physlm.steps.measure import Measure
from physlm.store import Store, open_store
from physlm.training.config import CURVE_SOURCE

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: kills
question: Does a kill change anything?
task: {{type: biod, people: 60, attributes: 2, diversity: 8, vocabulary: 8}}
model: {{type: gpt2, layers: 1, heads: 1, width: 8}}
training: {{batch_size: 8, optimizer: {{lr: 1e-2}}, exposures: {exposures}}}
seeds: [0]
measure: [knowledge_bits, loss]
"""


def command(root: Path, study: Experiment, ranks: int, restarts: int) -> list[str]:
    open_store(root).put_json("manifest.json", {"experiment": study.source, "shards": [[[study.runs[0].run_id]]]})
    shard = ["physlm.training", "--store", str(root), "--runs", "manifest.json", "--checkpoint-seconds", "0.2"]
    if ranks == 1:
        return [sys.executable, "-m", *shard]
    torchrun = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", f"--max-restarts={restarts}"]
    return [sys.executable, "-m", *torchrun, "-m", *shard]


def undisturbed(root: Path, study: Experiment, ranks: int) -> Store:
    subprocess.run(command(root, study, ranks, 0), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return open_store(root)


def killed(root: Path, study: Experiment, ranks: int, kills: int, chance: random.Random) -> Store:
    """Kill while it is in training, as often as told; then let it end."""
    done = 0
    while True:
        with subprocess.Popen(
            command(root, study, ranks, kills), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as process:
            assert process.stdout is not None
            while done < kills:
                if not process.stdout.readline():
                    break
                time.sleep(chance.uniform(0, 1))
                if process.poll() is not None:
                    break
                done += 1
                if ranks == 1:
                    process.kill()
                    break
                victims = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
                os.kill(int(chance.choice(victims)), signal.SIGKILL)
                wait_for_others(process, victims)
            process.stdout.read()
        if process.returncode == 0:
            print(f"  {ranks} rank(s): killed {done} times")
            return open_store(root)


def wait_for_others(process: subprocess.Popen[str], victims: list[str]) -> None:
    """Until torchrun has started other ranks in place of these."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        now = children.read_text().split()
        if now and not set(now) & set(victims):
            return
        assert process.stdout is not None
        time.sleep(0.1)


def observations(store: Store, study: Experiment) -> pl.DataFrame:
    Measure().run(store, study)
    sources = [CURVE_SOURCE, "knowledge_bits-v1", "loss-v1"]
    return catalog.collect(store, [study.runs[0].run_id], sources)


def difference(a: pl.DataFrame, b: pl.DataFrame) -> float:
    """The largest relative difference of values."""
    assert a.drop("value", "stderr").equals(b.drop("value", "stderr"))
    pairs = [(x, y) for x, y in zip(a["value"], b["value"], strict=True) if x is not None]
    return max(abs(x - y) / max(abs(x), 1e-9) for x, y in pairs)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--exposures", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    study = experiment.parse(TEXT.format(exposures=options.exposures))
    chance = random.Random(options.seed)
    same = True
    with tempfile.TemporaryDirectory() as folder:
        one = None
        for ranks in (1, 2):
            calm = observations(undisturbed(Path(folder, f"calm{ranks}"), study, ranks), study)
            one = calm if one is None else one
            rough = observations(killed(Path(folder, f"rough{ranks}"), study, ranks, options.kills, chance), study)
            same &= rough.equals(calm)
            print(
                f"{ranks} rank(s), {options.kills} kills wanted: {rough.height} observations, "
                f"{'equal bit by bit' if rough.equals(calm) else f'differ by {difference(rough, calm):.2e}'}; "
                f"against one undisturbed rank {difference(rough, one):.2e}",
                flush=True,
            )
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
