"""The experiment file: typed, validated, expanded to runs whose identity is a hash of what they are.

apiVersion: physlm/v1
kind: Experiment
name: capacity
question: How many bits of knowledge does a transformer store per parameter?
task:     {type: biod, people: 1000}
model:    {type: gpt2, layers: 2, heads: 2}
training: {batch_size: 32, optimizer: {lr: 1e-2}}
vary:
  model.width: [16, 24, 32]
  training.exposures: [100, 300, 1000]
seeds: [0, 1]
measure: [knowledge_bits]
laws: [capacity]
hold_out: {model.width: [32]}

With `sweep: {training.optimizer.lr: [3e-3, 1e-2]}` each condition is trained with each value, and the laws are fitted
to the value with the lowest validation loss. Probes are names, or mappings of knobs: `probe: [{type: v, steps: 400}]`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from physlm import models, tasks
from physlm.errors import ExperimentError
from physlm.models.model import ModelConfig
from physlm.registry import nearest
from physlm.runs import START, Run, digest, language, other_task, own_shares, resolved_training
from physlm.store import layout
from physlm.tasks.task import Task, TaskConfig
from physlm.training.config import TrainingConfig
from physlm.validation import Section, T, kind_of, paths_of, validate
from physlm.yaml_loader import read_yaml

MAX_FILE_BYTES = 1_000_000
MAX_RUNS = 100_000
CHOSEN_BY = "validation_loss"
"""The measure by which the best of a sweep is chosen: the lowest."""
Value = int | float | str | bool | None | list[Any]
ConfigT = TypeVar("ConfigT", bound=BaseModel)


class Budget(BaseModel):
    """Limits that a grid must not exceed; `physlm plan` says what it would need."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runs: int = Field(MAX_RUNS, ge=1, le=MAX_RUNS, description="most runs")
    tokens: float = Field(1e13, gt=0, description="most training tokens, all runs together")
    flops: float = Field(1e24, gt=0, description="most training FLOPs, all runs together")


class _File(BaseModel):
    """The file as written; the sections stay mappings until each condition is resolved."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    apiVersion: Literal["physlm/v1"]
    kind: Literal["Experiment"]
    name: str
    question: str = Field(min_length=1, max_length=500)
    task: dict[str, Any]
    model: dict[str, Any]
    training: dict[str, Any] = {}
    vary: dict[str, list[Value]] = {}
    sweep: dict[str, list[Value]] = {}
    seeds: list[int] = Field([0], min_length=1)
    measure: list[str] = Field(min_length=1)
    probe: list[Any] = []  # names, or mappings of a name as `type` and knobs
    laws: list[str] = []
    hold_out: dict[str, list[Value]] = {}
    budget: Budget = Budget()


@dataclass(frozen=True)
class Experiment:
    """A valid experiment: the file as written, and the runs it stands for."""

    file: _File
    source: str  # the text of the file
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        return self.file.name

    @cached_property
    def experiment_id(self) -> str:
        """12 hex digits of the hash of the file's meaning; comments and order don't count."""
        return digest(_plain(self.file.model_dump(mode="json", exclude_defaults=True)))[:12]

    @property
    def key(self) -> str:
        """Where the experiment's own results are stored."""
        return layout.experiment_folder(self.name, self.experiment_id)

    @cached_property
    def by_id(self) -> dict[str, Run]:
        """The runs by their identity, with those that they go on from."""
        return {run.run_id: run for wave in self.waves for run in wave}

    @property
    def tokens(self) -> int:
        """Training tokens of all runs and those that they go on from; what several share is counted once."""
        return round(sum(share * run.tokens for run, share in own_shares(self.by_id.values())))

    @property
    def flops(self) -> float:
        """Training FLOPs, counted in the same way."""
        return sum(share * run.flops for run, share in own_shares(self.by_id.values()))

    @cached_property
    def waves(self) -> list[list[Run]]:
        """What must be trained, in turn: runs that others go on from, and then those that do."""
        waves = [list(self.runs)]
        while parents := {run.parent.run_id: run.parent for run in waves[0] if run.parent is not None}:
            waves.insert(0, list(parents.values()))
        return waves

    def held_out(self, run: Run) -> bool:
        """Whether laws must be fitted without this run."""
        return any(_lookup(run, path) in values for path, values in self.file.hold_out.items())

    @property
    def varied(self) -> list[str]:
        """The keys in which runs differ, those of `vary` and then those of `sweep`."""
        return [*self.file.vary, *self.file.sweep]

    @property
    def measures(self) -> list[str]:
        """What is taken from each run: `measure`, and what the best of a sweep is chosen by."""
        return [*self.file.measure, *([CHOSEN_BY] if self.file.sweep and CHOSEN_BY not in self.file.measure else [])]

    @property
    def probes(self) -> dict[str, dict[str, Any]]:
        """The probes by name, each with the knobs that the file sets."""
        return {_probe_name(entry): _knobs(entry) for entry in self.file.probe}

    def values(self, run: Run) -> dict[str, Value]:
        """What this run has of the keys in which runs differ."""
        return {path: _lookup(run, path) for path in self.varied}


def load(path: Path, known: Mapping[str, Sequence[str]] | None = None) -> Experiment:
    """Read and validate an experiment file. Raises ExperimentError with one sentence.

    known: valid names of `measure`, `probe` and `laws`, so that a misspelt one is refused here.
    """
    try:
        if path.is_file() and path.stat().st_size > MAX_FILE_BYTES:
            raise ExperimentError(f"{path}: the file is larger than {MAX_FILE_BYTES:,} bytes: is it an experiment?")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ExperimentError(f"{path}: no such file; give the path of an experiment file (YAML)") from None
    except UnicodeDecodeError:
        raise ExperimentError(f"{path}: the file is not UTF-8 text; an experiment is a YAML file") from None
    except OSError as error:
        raise ExperimentError(f"{path}: can't be read: {error.strerror}") from None
    try:
        return parse(text, known)
    except ExperimentError as error:
        raise ExperimentError(f"{path}: {error}") from None


def parse(text: str, known: Mapping[str, Sequence[str]] | None = None) -> Experiment:
    """Validate the text of an experiment file and expand it to runs. Raises ExperimentError."""
    data = read_yaml(text)
    if not isinstance(data, dict):
        raise ExperimentError("the file is not a mapping; begin with 'apiVersion: physlm/v1' and 'kind: Experiment'")
    file = validate(_File.model_validate, data, "", list(_File.model_fields))
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", file.name):
        raise ExperimentError(
            f"name: {file.name!r} must be 1 to 40 lower-case letters, digits and inner hyphens, such as 'capacity-2'"
        )
    named: dict[str, list[Any]] = {key: list(getattr(file, key)) for key in ("seeds", "measure", "probe", "laws")}
    named["probe"] = [_probe_name(entry) for entry in file.probe]
    for key, names in (known or {}).items():
        for name in named[key]:
            if name not in names:
                raise ExperimentError(f"{key}: {name!r} is not known; {nearest(name, names)}")
    for key, items in named.items():
        if len(set(items)) < len(items):
            raise ExperimentError(f"{key}: {items} holds a value twice; give each once")
    if any(isinstance(seed, bool) for seed in data.get("seeds", ())):
        raise ExperimentError("seeds: true and false are no seeds; a seed is an integer such as 0")
    if bad := [seed for seed in file.seeds if not 0 <= seed < 2**32]:
        raise ExperimentError(f"seeds: {bad[0]} is out of range; a seed is an integer from 0 to 4294967295")
    runs = tuple(_expand(file))
    experiment = Experiment(file, text, runs)
    _check_hold_out(experiment)
    _check_budget(experiment)
    return experiment


def _probe_name(entry: Any) -> str:
    name = entry.get("type") if isinstance(entry, Mapping) else entry
    if not isinstance(name, str):
        raise ExperimentError(f"probe: {entry!r} names no probe; write a name, or a mapping with the name as its type")
    return name


def _knobs(entry: str | Mapping[str, Any]) -> dict[str, Any]:
    return {} if isinstance(entry, str) else {knob: value for knob, value in entry.items() if knob != "type"}


def probe_config(config: type[ConfigT], name: str, knobs: Mapping[str, Any]) -> ConfigT:
    """The knobs of a probe, validated. Raises ExperimentError naming the knob and what would be right."""
    return validate(config.model_validate, dict(knobs), f"probe.{name}", list(config.model_fields))


def _expand(file: _File) -> Iterator[Run]:
    _check_paths(file)
    grid = 1
    for where in ("vary", "sweep"):
        for path, values in getattr(file, where).items():
            if not values:
                raise ExperimentError(f"{where}.{path}: the list is empty; give at least one value")
            if any(values.count(value) > 1 for value in values[:1000]):
                raise ExperimentError(f"{where}.{path}: {values} holds a value twice; give each once")
            grid *= len(values)
    if grid * len(file.seeds) > file.budget.runs:
        raise ExperimentError(
            f"vary: the grid has {grid * len(file.seeds):,} runs, more than budget.runs = {file.budget.runs:,}; "
            "vary less or raise the budget"
        )
    knobs = {**file.vary, **file.sweep}
    for combination in itertools.product(*knobs.values()):
        changes = dict(zip(knobs, combination, strict=True))
        task: TaskConfig = _section("task", file, changes, tasks.registry, lambda cls: cls.config_type)
        model: ModelConfig = _section("model", file, changes, models.registry, lambda cls: cls)
        training = _training(file, changes, language(task))
        _check_model(model, training)
        for seed in file.seeds:
            yield Run(task, model, training, seed)


def _check_paths(file: _File) -> None:
    """The keys of `vary` and `hold_out` must name knobs of a section."""
    fields = {
        "task": _fields(file, "task", tasks.registry, lambda cls: cls.config_type),
        "model": _fields(file, "model", models.registry, lambda cls: cls),
        "training": [*paths_of(TrainingConfig), *_mix_paths(file)],
    }
    valid = [f"{section}.{name}" for section, names in fields.items() for name in names]
    for path in file.sweep:
        if path in file.vary or path in file.hold_out:
            other = "vary" if path in file.vary else "hold_out"
            raise ExperimentError(f"sweep.{path}: is in {other} too; of a swept knob only the best value is kept")
        if not path.startswith("training.") or path in ("training.exposures", "training.tokens"):
            raise ExperimentError(
                f"sweep.{path}: can't be swept; sweep a knob of training other than its budget, such as "
                "'training.optimizer.lr'"
            )
    for where in ("vary", "sweep", "hold_out"):
        for path in getattr(file, where):
            if path == "seed" or path == "seeds":
                raise ExperimentError(f"{where}.{path}: seeds are not varied here; list them under 'seeds'")
            if path not in valid:
                raise ExperimentError(f"{where}.{path}: no such knob; {nearest(path, valid)}")


def _mix_paths(file: _File) -> Iterator[str]:
    """Knobs of the streams mixed in, so that their shares and tasks may be varied."""
    mix = file.training.get("mix")
    for name, stream in mix.items() if isinstance(mix, dict) else ():
        yield f"mix.{name}.share"
        knobs = stream.get("task") if isinstance(stream, dict) else None
        kind = knobs.get("type", file.task.get("type")) if isinstance(knobs, dict) else None
        if isinstance(kind, str) and kind in tasks.registry:
            yield from (f"mix.{name}.task.{knob}" for knob in paths_of(tasks.registry[kind].config_type))


def _fields(file: _File, section: Section, known: Mapping[str, T], config: Callable[[T], type[BaseModel]]) -> list[str]:
    """Knobs of every type that the section takes (its type may itself be varied)."""
    value = getattr(file, section)
    kinds = file.vary.get(f"{section}.type") or [kind_of(section, value, known)]
    names: dict[str, None] = {}
    for kind in kinds:
        cls = known[kind_of(section, {"type": kind}, known)]
        names.update(dict.fromkeys(paths_of(config(cls), value)))
    return list(names)


def _changed(value: Mapping[str, Any], section: Section, changes: Mapping[str, Value]) -> dict[str, Any]:
    result = dict(value)
    for path, new in changes.items():
        head, *keys = path.split(".")
        if head == section:
            inner = result
            for key in keys[:-1]:
                nested = inner.get(key, {})
                if not isinstance(nested, dict):
                    raise ExperimentError(f"{section}.{key}: {nested!r} must be a mapping")
                inner[key] = dict(nested)
                inner = inner[key]
            inner[keys[-1]] = new
    return result


def _section(
    section: Section,
    file: _File,
    changes: Mapping[str, Value],
    known: Mapping[str, T],
    config: Callable[[T], type[BaseModel]],
) -> Any:
    value = _changed(getattr(file, section), section, changes)
    cls = config(known[kind_of(section, value, known)])
    return validate(cls.model_validate, value, section, paths_of(cls, value))


def _training(file: _File, changes: Mapping[str, Value], task: Task[Any]) -> TrainingConfig:
    training = resolved_training(_changed(file.training, "training", changes), task, "training")
    if training.start is not None:
        knobs = training.start.task
        before = other_task("training.start.task", task, knobs)
        resolved_training(training.start.training, before, START)
    return training


def _check_model(model: ModelConfig, training: TrainingConfig) -> None:
    """The model must be able to learn from the run's windows."""
    default = TrainingConfig.model_fields["mask_share"].default
    if model.causal and training.mask_share != default:
        raise ExperimentError(
            f"training.mask_share: {training.mask_share:g} means nothing with {model.type}, from which no token is "
            "hidden; leave it out, or choose model.type bert"
        )
    context, longest = training.context_length, model.longest_context
    if context is not None and longest is not None and context > longest:
        raise ExperimentError(
            f"model.distances: {longest} absolute positions are too few for windows of {context} tokens; "
            f"use at least {context}"
        )


def _lookup(run: Run, path: str) -> Any:
    value: Any = run
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return list(value) if isinstance(value, tuple) else value  # as the file has it


def _order(value: Any) -> tuple[str, Any]:
    """Sorts values of any kinds: numbers among themselves, and all others by how they are written."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return ("", value) if is_number else (type(value).__name__, str(value))


def _plain(value: Any) -> Any:
    """The value with 40.0 as 40: what is written otherwise and means the same is one experiment."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _check_hold_out(experiment: Experiment) -> None:
    for path, values in experiment.file.hold_out.items():
        found = [_lookup(run, path) for run in experiment.runs]
        for value in values:
            if value not in found:
                known = dict.fromkeys(str(each) for each in sorted(found, key=_order))
                raise ExperimentError(f"hold_out.{path}: no run has {value!r}; the values are {', '.join(known)}")
    if experiment.file.hold_out and all(experiment.held_out(run) for run in experiment.runs):
        raise ExperimentError("hold_out: every run is held out, so nothing is left to fit; hold out fewer values")


def _check_budget(experiment: Experiment) -> None:
    for name in ("tokens", "flops"):
        needed = float(getattr(experiment, name))
        limit = getattr(experiment.file.budget, name)
        if needed > limit:
            raise ExperimentError(
                f"budget.{name}: the runs need {needed:.3g} {name}, more than the {limit:.3g} allowed; "
                "vary less or raise the budget"
            )
