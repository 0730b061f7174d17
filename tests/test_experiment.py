# ruff: noqa: E501 (one case a line)
"""The experiment file: what it expands to, and how it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from physlm import experiment, models
from physlm.errors import ExperimentError
from physlm.models.gpt2 import Gpt2Config
from physlm.tasks.biod import Biod, BiodConfig
from physlm.training.config import OptimizerConfig, ScheduleConfig, TrainingConfig

GOOD = """
apiVersion: physlm/v1
kind: Experiment
name: capacity
question: How many bits of knowledge does a transformer store per parameter?
task: {type: biod, people: 1000, attributes: 4, vocabulary: 64}
model: {type: gpt2, layers: 2, heads: 2}
training: {batch_size: 128, optimizer: {lr: 1e-2, weight_decay: 0.01}}
vary:
  model.width: [16, 24, 32, 48]
  training.exposures: [100, 300, 1000]
seeds: [0, 1]
measure: [knowledge_bits, loss]
laws: [capacity]
hold_out: {model.width: [48]}
"""
KNOWN = {"measure": ["knowledge_bits", "loss"], "laws": ["capacity", "exposure"]}

# name: (what is replaced, by what, what the sentence must say)
BAD: dict[str, tuple[str, str, str]] = {
    "empty file": (GOOD, "", "the file is not a mapping"),
    "a list": (GOOD, "- 1\n- 2", "the file is not a mapping"),
    "not YAML": ("task: {type: biod,", "task: {type: biod,,", "line 6, column 19: not valid YAML"),
    "a tab": ("  model.width", "\tmodel.width", "line 10, column 1: not valid YAML"),
    "wrong api version": ("physlm/v1", "physlm/v2", "apiVersion: 'physlm/v2' is not valid: input should be 'physlm/v1'"),
    "wrong kind": ("kind: Experiment", "kind: Trial", "kind: 'Trial' is not valid: input should be 'Experiment'"),
    "no question": ("question: How many", "ask: How many", "ask: unknown key; did you mean 'task'?"),
    "missing name": ("name: capacity\n", "", "name: is missing"),
    "a name that is a path": ("name: capacity", "name: ../capacity", "name: '../capacity' must be 1 to 40 lower-case"),
    "unknown section": ("seeds:", "seed:", "seed: unknown key; did you mean 'seeds'?"),
    "unknown task": ("type: biod", "type: bioD", "task.type: 'bioD' is not known; did you mean 'biod'?"),
    "no task type": ("{type: biod, ", "{", "task.type: is missing; choose one of"),
    "unknown task knob": ("people:", "persons:", "task.persons: unknown key; valid are type, seed, people"),
    "text for a number": ("people: 1000", "people: many", "task.people: 'many' is not valid: input should be a valid"),
    "a fraction of a person": ("people: 1000", "people: 10.5", "task.people: 10.5 is not valid"),
    "too few people": ("people: 1000", "people: 1", "task.people: 1 is not valid: input should be greater than or"),
    "more people than names": ("vocabulary: 64", "vocabulary: 8, diversity: 8", "task.people: 1000 persons need distinct"),
    "unknown model": ("type: gpt2", "type: gpt3", "model.type: 'gpt3' is not known; did you mean 'gpt2'?"),
    "a width that heads don't divide": ("[16, 24, 32, 48]", "[16, 26, 48]", "model.width: 26 can't be split into 2 heads"),
    "a negative learning rate": ("lr: 1e-2", "lr: -1", "training.optimizer.lr: -1 is not valid: input should be greater"),
    "not a number": ("lr: 1e-2", "lr: .nan", "training.optimizer.lr: nan is not valid"),
    "a misspelt inner key": ("weight_decay", "weight_decoy", "training.optimizer.weight_decoy: unknown key; did you mean"),
    "no budget": ("  training.exposures: [100, 300, 1000]\n", "", "training.exposures: is missing"),
    "two budgets": ("batch_size: 128", "batch_size: 128, tokens: 5", "training.tokens: give either exposures or tokens"),
    "a context too short": ("batch_size: 128", "context_length: 11", "training.context_length: 11 is too short for an"),
    "a misspelt path": ("model.width: [16", "model.widht: [16", "vary.model.widht: no such knob; did you mean 'model.width'"),
    "a path without section": ("  model.width: [16", "  width: [16", "vary.width: no such knob; did you mean 'model.width'"),
    "an empty list": ("[100, 300, 1000]", "[]", "vary.training.exposures: the list is empty"),
    "not a list": ("[100, 300, 1000]", "100", "vary.training.exposures: 100 is not valid: input should be a valid list"),
    "a value twice": ("[100, 300, 1000]", "[100, 100]", "vary.training.exposures: [100, 100] holds a value twice"),
    "a varied value out of range": ("[100, 300, 1000]", "[100, 0]", "training.exposures: 0 is not valid"),
    "a seed twice": ("seeds: [0, 1]", "seeds: [1, 1]", "seeds: [1, 1] holds a value twice"),
    "a negative seed": ("seeds: [0, 1]", "seeds: [-1]", "seeds: -1 is out of range"),
    "no seeds": ("seeds: [0, 1]", "seeds: []", "seeds: [] is not valid: list should have at least 1 item"),
    "seeds varied": ("  training.exposures", "  seed: [3]\n  training.exposures", "vary.seed: seeds are not varied here"),
    "unknown measure": ("[knowledge_bits, loss]", "[knowlege_bits]", "measure: 'knowlege_bits' is not known; did you mean"),
    "unknown law": ("laws: [capacity]", "laws: [capacty]", "laws: 'capacty' is not known; did you mean 'capacity'?"),
    "nothing measured": ("[knowledge_bits, loss]", "[]", "measure: [] is not valid: list should have at least 1 item"),
    "held out what isn't there": ("hold_out: {model.width: [48]}", "hold_out: {model.width: [40]}", "no run has 40"),
    "everything held out": ("width: [48]}", "width: [16, 24, 32, 48]}", "hold_out: every run is held out"),
    "a misspelt held-out path": ("hold_out: {model.width", "hold_out: {model.wide", "hold_out.model.wide: no such knob"),
    "a mix of everything": ("batch_size: 128", "mix: {junk: {task: {seed: 1}, share: 1.0}}", "training.mix.junk.share: 1.0 is not valid"),
    "shares of more than all": ("batch_size: 128", "mix: {a: {task: {seed: 1}, share: 0.5}, b: {task: {seed: 2}, share: 0.5}}", "training.mix: the shares add up to 1"),
    "an unknown mixed knob": ("batch_size: 128", "mix: {junk: {task: {persons: 5}, share: 0.5}}", "training.mix.junk.task.persons: unknown key"),
    "an unknown mixed task": ("batch_size: 128", "mix: {junk: {task: {type: bio}, share: 0.5}}", "training.mix.junk.task.type: 'bio' is not known"),
    "a mixed vocabulary": ("batch_size: 128", "mix: {junk: {task: {vocabulary: 65}, share: 0.5}}", "training.mix.junk.task: its 70 tokens are not the 69 of biod"),
    "a mixed length": ("batch_size: 128", "mix: {junk: {task: {chunks: 9}, share: 0.5}}", "training.mix.junk.task: an instance has up to 44 tokens"),
    "a swept budget": ("seeds:", "sweep: {training.tokens: [5]}\nseeds:", "sweep.training.tokens: can't be swept"),
    "a swept model": ("seeds:", "sweep: {model.layers: [1, 2]}\nseeds:", "sweep.model.layers: can't be swept; sweep a knob of training"),
    "swept and varied": ("seeds:", "sweep: {model.width: [5]}\nseeds:", "sweep.model.width: is in vary too"),
    "an empty sweep": ("seeds:", "sweep: {training.optimizer.lr: []}\nseeds:", "sweep.training.optimizer.lr: the list is empty"),
    "a misspelt sweep": ("seeds:", "sweep: {training.optimizer.rl: [1]}\nseeds:", "sweep.training.optimizer.rl: no such knob; did you mean"),
    "too many runs": ("seeds: [0, 1]", "seeds: [0, 1]\nbudget: {runs: 23}", "the grid has 24 runs, more than budget.runs = 23"),
    "too many tokens": ("seeds: [0, 1]", "seeds: [0, 1]\nbudget: {tokens: 1000}", "budget.tokens: the runs need"),
    "a key twice": ("seeds: [0, 1]", "seeds: [0, 1]\nseeds: [2]", "line 13: the key 'seeds' is given twice"),
    "an alias": ("seeds: [0, 1]", "seeds: &a [0, *a]", "aliases (*name) are not allowed"),
    "a python object": ("seeds: [0, 1]", "seeds: !!python/tuple [0]", "not valid YAML"),
    "a section that is text": ("task: {type: biod, people: 1000, attributes: 4, vocabulary: 64}", "task: biod", "task: 'biod' is"),
    "an optimizer that is text": ("optimizer: {lr: 1e-2, weight_decay: 0.01}", "optimizer: adam", "training.optimizer: 'adam'"),
}  # fmt: skip


def test_the_example_expands_to_its_grid() -> None:
    study = experiment.parse(GOOD, KNOWN)
    assert len(study.runs) == 4 * 3 * 2
    assert len({run.run_id for run in study.runs}) == 24
    assert len({run.condition_id for run in study.runs}) == 12
    assert sum(study.held_out(run) for run in study.runs) == 6
    run = study.runs[0]
    assert study.values(run) == {"model.width": 16, "training.exposures": 100}
    assert run.training.optimizer.lr == 0.01
    assert run.tokens == 100 * 1000 * 12


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_with_one_sentence(kind: str) -> None:
    old, new, expected = BAD[kind]
    assert GOOD.count(old) == 1
    with pytest.raises(ExperimentError) as caught:
        experiment.parse(GOOD.replace(old, new), KNOWN)
    sentence = str(caught.value)
    assert expected in sentence
    assert "\n" not in sentence
    assert len(sentence) < 400


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no such file"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a: " + b"x" * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_an_unreadable_file_is_refused(content: bytes | None, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "file.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExperimentError, match=expected):
        experiment.load(path)


def test_identity_is_what_a_run_is_and_nothing_else() -> None:
    study = experiment.parse(GOOD, KNOWN)
    same = experiment.parse(GOOD.replace("capacity\n", "other\n").replace("[16, 24, 32, 48]", "[48, 16]"), KNOWN)
    ids = {run.run_id for run in study.runs}
    assert {run.run_id for run in same.runs} < ids
    for change in (("people: 1000", "people: 999"), ("lr: 1e-2", "lr: 1.1e-2"), ("layers: 2", "layers: 3")):
        other = experiment.parse(GOOD.replace(*change), KNOWN)
        assert not ids & {run.run_id for run in other.runs}
    spelt_out = experiment.parse(GOOD.replace("people: 1000", "people: 1000, chunks: 1, seed: 0"), KNOWN)
    assert {run.run_id for run in spelt_out.runs} == ids


def test_a_runs_identity_is_stable() -> None:
    """Results are kept for years under these ids; a change here orphans every catalogue."""
    assert experiment.parse(GOOD, KNOWN).runs[0].run_id == "bd6c1e75b8bde4a6"


def test_the_defaults_that_identities_rest_on_are_unchanged() -> None:
    """An identity leaves defaults out: whoever changes one must raise the version of its class, then this table."""
    assert TrainingConfig().model_dump(exclude={"optimizer", "schedule"}) == {
        "exposures": None, "tokens": None, "batch_size": 32, "context_length": None, "mask_share": 0.15, "mix": {},
        "mix_by": "window", "start": None,
    }  # fmt: skip
    assert TrainingConfig.version == Gpt2Config.version == Biod.version == 1
    assert OptimizerConfig().model_dump() == {
        "lr": 1e-3, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-6, "clip_norm": 1.0,
    }  # fmt: skip
    assert ScheduleConfig().model_dump() == {
        "type": "cosine", "warmup": 0.02, "warmup_steps": None, "final": 0.1, "decay": 0.2,
    }  # fmt: skip
    assert Gpt2Config().model_dump() == {
        "type": "gpt2", "layers": 2, "heads": 2, "width": 32, "mixer": "attention", "positions": "rotary",
        "rotary_share": 1.0, "distances": 512, "group_size": 1, "window": None, "state": None, "expand": None,
        "short_conv": True, "mlp": "gelu", "mlp_size": 1.0, "experts": 8, "top_k": 1, "capacity": 2.0,
        "balance": 0.01, "norm": "layer", "canon": "", "bias": True, "tied": True, "bidirectional": False,
    }  # fmt: skip
    named = {
        name: {k: v for k, v in cls().model_dump(exclude={"type"}).items() if v != getattr(Gpt2Config(), k)}
        for name, cls in models.registry.items()
    }
    llama = {"mlp": "gated", "norm": "rms", "bias": False, "tied": False}
    linear = {**llama, "positions": "none"}
    assert named == {
        "bert": {"positions": "absolute", "bidirectional": True}, "gdn": {**linear, "mixer": "gdn"},
        "gla": {**linear, "mixer": "gla", "short_conv": False}, "gpt2": {},
        "gpt2-absolute": {"positions": "absolute"}, "gpt2-canon": {"canon": "ABCD"},
        "gpt2-experts": {"mlp": "experts", "mlp_size": 0.25, "experts": 32},
        "gpt2-positional": {"mixer": "positional", "positions": "none"}, "gpt2-relative": {"positions": "relative"},
        "gpt2-uniform": {"mixer": "uniform", "positions": "none"}, "llama": llama,
        "llama-canon": {**llama, "canon": "ABCD"}, "mamba2": {**linear, "mixer": "mamba2"},
        "mistral": {**llama, "group_size": 2, "window": 4096},
    }  # fmt: skip
    assert BiodConfig().model_dump() == {
        "type": "biod", "seed": 0, "people": 1000, "attributes": 4, "chunks": 1, "diversity": 64,
        "chunk_length": 1, "vocabulary": 64, "name_length": 3,
        "junk_people": 0, "junk_fraction": 0.0, "tag": False,
    }  # fmt: skip


def test_comments_and_order_dont_make_another_experiment() -> None:
    study = experiment.parse(GOOD, KNOWN)
    lines = GOOD.strip().splitlines()
    shuffled = "\n".join(["# a comment", *lines[2:4], *lines[:2], *lines[4:]])
    assert experiment.parse(shuffled, KNOWN).experiment_id == study.experiment_id


def test_numbers_are_read_as_people_write_them() -> None:
    for text in ("1e-2", "0.01", "1.0e-2", ".01", "1E-2"):
        study = experiment.parse(GOOD.replace("lr: 1e-2", f"lr: {text}"), KNOWN)
        assert study.runs[0].training.optimizer.lr == 0.01


def test_a_model_that_cant_be_trained_on_the_runs_windows_is_refused() -> None:
    with pytest.raises(ExperimentError, match=r"model.distances: 4 absolute positions are too few.*use at least"):
        experiment.parse(GOOD.replace("type: gpt2", "type: gpt2-absolute, distances: 4"), KNOWN)


@pytest.mark.parametrize(
    ("knob", "values", "held_out"),
    [
        ("task.names", "[[40, 40, 100], [20, 20, 50]]", "[[40, 40, 100]]"),
        ("model.window", "[4, null, 8]", "[null]"),
        ("task.permute", "[true, false]", "[true]"),
    ],
)
def test_values_of_any_kind_may_be_held_out(knob: str, values: str, held_out: str) -> None:
    text = GOOD.replace(
        "task: {type: biod, people: 1000, attributes: 4, vocabulary: 64}", "task: {type: bios, people: 40}"
    )
    text = text.replace("vary:", f"vary:\n  {knob}: {values}").split("hold_out")[0]
    study = experiment.parse(f"{text}hold_out: {{{knob}: {held_out}}}")
    assert 0 < sum(map(study.held_out, study.runs)) < len(study.runs)
    with pytest.raises(ExperimentError, match=f"hold_out.{knob}: no run has 'other'; the values are "):
        experiment.parse(f"{text}hold_out: {{{knob}: [other]}}")


@pytest.mark.parametrize(
    ("written", "meant"), [("people: 1000", "people: 1e3"), ("batch_size: 128", "batch_size: 128.0")]
)
def test_what_means_the_same_is_one_experiment(written: str, meant: str) -> None:
    assert experiment.parse(GOOD.replace(written, meant)).experiment_id == experiment.parse(GOOD).experiment_id


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("people: 1000", "people: true", "task.people: "),
        ("seeds: [0, 1]", "seeds: [true]", "seeds: true and false are no seeds"),
        ("lr: 1e-2", "lr: true", "training.optimizer.lr: true is not valid: write a number"),
        ("seeds: [0, 1]", "seeds: [yes]", "seeds.0: 'yes' is not valid"),
        ("people: 1000", "people: 1:30", "task.people: '1:30' is not valid"),
        ("people: 1000", "people: 0100", "line 6: 0100 begins with a zero; write 100, or 0o... for octal"),
    ],
)
def test_what_yaml_may_read_otherwise_is_refused(old: str, new: str, sentence: str) -> None:
    with pytest.raises(ExperimentError) as refused:
        experiment.parse(GOOD.replace(old, new))
    assert sentence in str(refused.value)
