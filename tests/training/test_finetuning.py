"""Fine-tuning: a run that goes on from another, with all its weights or with low-rank updates."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch

from physlm import experiment
from physlm.errors import ExperimentError, Interrupted
from physlm.experiment import Experiment
from physlm.models import parse
from physlm.models.decoder import initialise
from physlm.runs import Run
from physlm.steps.plan import summary
from physlm.steps.train import Train
from physlm.store import Store, layout, open_store
from physlm.training.checkpoints import load_model
from physlm.training.config import LoraConfig, OptimizerConfig
from physlm.training.loop import Options, train
from physlm.training.lora import LoraCohort

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: tuned
question: What is kept?
task: {type: biod, people: 30, attributes: 2, diversity: 8, vocabulary: 8, seed: 5}
model: {type: gpt2, layers: 2, heads: 1, width: 8}
training:
  exposures: 8
  batch_size: 8
  optimizer: {lr: 3e-3}
  start: {task: {people: 60, seed: 0}, training: {exposures: 20, batch_size: 8, optimizer: {lr: 1e-2}}}
seeds: [0, 1]
measure: [loss]
"""
LORA = "lora: {rank: 2, embedding_rank: 3}"
CPU = torch.device("cpu")
STUDIES = {
    "full": experiment.parse(TEXT),
    "lora": experiment.parse(TEXT.replace("start: {", f"start: {{{LORA}, ")),
}


def test_a_plan_counts_the_runs_that_others_go_on_from_once() -> None:
    study = STUDIES["full"]
    plan = summary(study)
    assert (plan["runs"], plan["runs_before"], plan["cohorts"]) == (2, 2, 2)
    parents = [run.parent for run in study.runs if run.parent is not None]
    assert plan["tokens"] == sum(run.tokens for run in (*study.runs, *parents)) > sum(run.tokens for run in study.runs)
    assert plan["flops"] == pytest.approx(sum(run.flops for run in (*study.runs, *parents)))
    two = experiment.parse(TEXT + "vary: {training.optimizer.lr: [1e-3, 3e-3]}\n")
    assert summary(two)["runs_before"] == 2  # one for each seed, whatever comes after it


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = open_store(tmp_path_factory.mktemp("tuned"))
    for wave in (STUDIES["full"].waves[0], STUDIES["full"].runs, STUDIES["lora"].runs):
        train(store, wave, Options(CPU))
    return store


def final(store: Store, run: Run) -> dict[str, torch.Tensor]:
    return load_model(store, run.run_id, store.get_json(layout.completed_key(run.run_id))["tokens"])


def before_and_after(store: Store, run: Run) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    assert run.parent is not None
    return final(store, run.parent), final(store, run)


def plain() -> Experiment:
    """The parents' own experiment."""
    text = TEXT[: TEXT.index("training:")].replace("people: 30", "people: 60").replace(", seed: 5", "")
    section = "training: {exposures: 20, batch_size: 8, optimizer: {lr: 1e-2}}"
    return experiment.parse(f"{text}{section}\nseeds: [0, 1]\nmeasure: [loss]\n")


@pytest.mark.parametrize("kind", STUDIES)
def test_parents_are_runs_of_their_own_and_come_first(kind: str) -> None:
    parents, children = STUDIES[kind].waves
    assert [run.run_id for run in parents] == [run.run_id for run in plain().runs]
    assert len(children) == 2


def test_an_identity_has_its_parents() -> None:
    ids = {kind: [run.run_id for run in study.runs] for kind, study in STUDIES.items()}
    assert not set(ids["full"]) & set(ids["lora"])
    other = experiment.parse(TEXT.replace("exposures: 20", "exposures: 21"))
    assert not {run.run_id for run in other.runs} & set(ids["full"])
    same = experiment.parse(TEXT.replace("exposures: 20,", "exposures: 20, schedule: {type: cosine},"))
    assert [run.run_id for run in same.runs] == ids["full"]


@pytest.mark.slow
def test_low_rank_updates_leave_all_else_as_it_was(tuned: Store) -> None:
    for run in STUDIES["lora"].runs:
        before, after = before_and_after(tuned, run)
        for name in before:
            change = after[name] - before[name]
            if name == "embedding":
                assert torch.linalg.matrix_rank(change, rtol=1e-3) == 3
            elif name.endswith("qkv.weight"):
                queries, keys, values = change.chunk(3, dim=1)
                assert not keys.any()
                assert [int(torch.linalg.matrix_rank(x, rtol=1e-3)) for x in (queries, values)] == [2, 2]
            else:
                assert torch.equal(after[name], before[name]), name


@pytest.mark.parametrize("name", ["gla", "mamba2", "gdn", "gpt2-uniform"])
def test_every_mixer_takes_low_rank_updates(name: str) -> None:
    config = parse({"type": name, "layers": 1, "heads": 1, "width": 8})
    cohort = LoraCohort(config, 11, [OptimizerConfig(lr=1e-2)], [0], CPU, config=LoraConfig(rank=2, embedding_rank=0))
    initialise(cohort.frozen, [0])
    before = {name: value.clone() for name, value in cohort.parameters(0).items()}
    tokens = torch.randint(0, 11, (1, 8, 9), generator=torch.Generator().manual_seed(0))
    losses = [float(cohort.step(tokens, torch.ones_like(tokens, dtype=torch.bool), [1.0])[0]) for _ in range(30)]
    assert losses[-1] < losses[0]
    changed = {name for name, value in cohort.parameters(0).items() if not torch.equal(value, before[name])}
    assert len(changed) == 1
    assert next(iter(changed)).startswith("blocks.0.attention.")


@pytest.mark.slow
def test_all_weights_are_trained_without_lora(tuned: Store) -> None:
    for run in STUDIES["full"].runs:
        before, after = before_and_after(tuned, run)
        assert all(not torch.equal(after[name], before[name]) for name in before)


@pytest.mark.parametrize("kind", STUDIES)
def test_it_begins_with_what_the_parent_knows(kind: str, tuned: Store) -> None:
    """With steps of no size the model stays the parent's."""
    still = experiment.parse(STUDIES[kind].source.replace("lr: 3e-3}", "lr: 1e-12, weight_decay: 0}"))
    train(tuned, still.runs, Options(CPU))
    for run in still.runs:
        before, after = before_and_after(tuned, run)
        for name in before:
            torch.testing.assert_close(after[name], before[name], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("kind", STUDIES)
def test_a_stopped_cohort_goes_on_exactly(kind: str, tuned: Store, tmp_path: Path) -> None:
    store, (parents, runs) = open_store(tmp_path), STUDIES[kind].waves
    train(store, parents, Options(CPU))
    while not all(store.exists(layout.completed_key(run.run_id)) for run in runs):
        left = iter(range(9))
        with suppress(Interrupted):
            train(store, runs, Options(CPU, stop=lambda left=left: next(left, None) is None))
    for run in runs:
        ours, theirs = final(store, run), final(tuned, run)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.slow
def test_the_step_trains_parents_and_then_their_children(tmp_path: Path) -> None:
    study = experiment.parse(STUDIES["lora"].source.replace("seeds: [0, 1]", "seeds: [0]"))
    store = open_store(tmp_path)
    Train(processes=1).run(store, study)
    assert len(study.by_id) == 2
    assert all(store.exists(layout.completed_key(run_id)) for run_id in study.by_id)


def test_a_start_that_can_not_be_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"training\.start\.training\.exposures: is missing"):
        experiment.parse(TEXT.replace("training: {exposures: 20, ", "training: {"))
    with pytest.raises(ExperimentError, match=r"training\.start\.task: its 15 tokens are not the 11 of biod"):
        experiment.parse(TEXT.replace("{people: 60, seed: 0}", "{vocabulary: 12}"))
