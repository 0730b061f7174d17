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
to the value with the lowest validation loss.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from physlm import models, tasks
from physlm.catalog import Moment
from physlm.errors import ExperimentError
from physlm.models.contract import ModelConfig
from physlm.tasks.contract import Task, TaskConfig
from physlm.training.config import TrainingConfig
from physlm.training.schedules import has_trunk

MAX_FILE_BYTES = 1_000_000
MAX_RUNS = 100_000
_START = "training.start.training"
CHOSEN_BY = "validation_loss"
"""The measure by which the best of a sweep is chosen: the lowest."""
Section = Literal["task", "model", "training"]
Value = int | float | str | bool | None | list[Any]


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


def _digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Run:
    """One fully resolved condition with its seed; equal ones are one run, whoever asks for them."""

    task: TaskConfig
    model: ModelConfig
    training: TrainingConfig
    seed: int

    @cached_property
    def language(self) -> Task[Any]:
        """The task of this run; runs of one world share it."""
        return language(self.task)

    @cached_property
    def mixed(self) -> dict[str, TaskConfig]:
        """The tasks of the streams mixed into the training data, by name."""
        return {name: _mixed(self.task, stream.task) for name, stream in self.training.mix.items()}

    @cached_property
    def parent(self) -> Run | None:
        """The run that this one goes on from, if it does."""
        start = self.training.start
        if start is None:
            return None
        task = _mixed(self.task, start.task)
        return Run(task, self.model, _resolved(start.training, language(task), _START), self.seed)

    def moment(self, tokens: int, instances: int) -> Moment:
        """Where in training the run stands after so many tokens and instances."""
        population = self.language.population
        exposures = None if population is None else instances / population
        return Moment(tokens, exposures, float(tokens) * self.flops_per_token)

    def description(self) -> dict[str, Any]:
        """The run as columns of the catalogue: identity, sizes, and every knob by its dotted path."""
        knobs = {
            path: value
            for section in ("task", "model", "training")
            for path, value in _flat(section, getattr(self, section).model_dump(mode="json"))
        }
        return {
            "run_id": self.run_id,
            "condition": self.condition_id,
            "seed": self.seed,
            "parameters": self.parameters,
            "parameters_counted": self.parameters_counted,
            **knobs,
        }

    def resolved(self) -> dict[str, Any]:
        """The whole condition with every default spelt out, for the record."""
        sections = {name: getattr(self, name).model_dump(mode="json") for name in ("task", "model", "training")}
        return {**self.canonical(), **sections, "run_id": self.run_id}

    def canonical(self) -> dict[str, Any]:
        """Everything the result depends on, with the versions of the code that gives it meaning."""
        training = _identity(self.training)
        if self.parent is not None:  # what it goes on from is all in the parent's identity
            own = {name: value for name, value in training["start"].items() if name == "lora"}
            training["start"] = {**own, "run_id": self.parent.run_id}
        return {
            "task": _identity(self.task),
            "model": _identity(self.model),
            "training": training,
            "seed": self.seed,
            "versions": {
                "task": self.language.revision,
                "model": self.model.version,
                "training": self.training.version,
                **{f"training.mix.{name}": language(config).revision for name, config in self.mixed.items()},
            },
        }

    @cached_property
    def run_id(self) -> str:
        """16 hex digits: the hash of the canonical form."""
        return _digest(self.canonical())

    @cached_property
    def condition_id(self) -> str:
        """8 hex digits, the same for all seeds of one condition."""
        return _digest({**self.canonical(), "seed": None})[:8]

    @cached_property
    def trunk_id(self) -> str:
        """16 hex digits, the same for runs that train alike until the learning rate of one of them decays (wsd)."""
        if not has_trunk(self.training.schedule):
            return self.run_id
        canonical = self.canonical()
        knobs = {k: v for k, v in canonical["training"].items() if k not in ("exposures", "tokens")}
        schedule = {k: v for k, v in knobs["schedule"].items() if k not in ("decay", "final")}
        return _digest({**canonical, "training": {**knobs, "schedule": schedule}})

    @property
    def world_id(self) -> str:
        """Identity of the hidden facts: the task's configuration and version."""
        return world_id(self.task)

    @property
    def context_length(self) -> int:
        """Tokens in a window."""
        assert self.training.context_length is not None  # resolved by expand()
        return self.training.context_length

    @property
    def shape(self) -> tuple[object, ...]:
        """Runs with equal shapes can train as one batched program."""
        training = self.training
        return self.model, len(self.language.vocabulary), training.batch_size, self.context_length, training.lora

    @property
    def instances(self) -> int | None:
        """Instances in the budget, when it is counted in exposures."""
        if self.training.exposures is None:
            return None
        assert self.language.population is not None
        return self.training.exposures * self.language.population

    @property
    def parameters(self) -> int:
        """All parameters of the model."""
        return self.model.parameters(len(self.language.vocabulary))

    @property
    def parameters_counted(self) -> int:
        """Parameters without embedding rows of tokens that never occur."""
        return self.model.parameters(self.language.used_tokens)

    @property
    def tokens(self) -> int:
        """Tokens in the budget; an upper bound where instances differ in length, an estimate with streams mixed in."""
        if self.training.tokens is not None:
            return self.training.tokens
        assert self.instances is not None
        return round(self.instances * self.language.max_length / self.training.own_share)

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token: forward and, twice that, backward."""
        return 3 * self.model.flops_per_token(len(self.language.vocabulary), self.context_length)

    @property
    def flops(self) -> float:
        """Training FLOPs of the budget."""
        return float(self.tokens) * self.flops_per_token


def _mixed(task: TaskConfig, knobs: Mapping[str, Any]) -> TaskConfig:
    """A task that differs from another in these knobs; if its type differs, the knobs are all it has."""
    kind = knobs.get("type", task.type)
    own = task.model_dump(exclude_defaults=True) if kind == task.type else {}
    return tasks.registry()[kind].config_type.model_validate({**own, **knobs, "type": kind})


def _flat(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(f"{prefix}.{name}", inner)
        else:
            yield f"{prefix}.{name}", inner


def _identity(config: BaseModel) -> dict[str, Any]:
    """What a config says beside its defaults, so that a new knob leaves the identity of old runs as it is.

    Whoever changes a default must raise the version of the config's class.
    """
    kind = {"type": config.type} if hasattr(config, "type") else {}
    return {**config.model_dump(mode="json", exclude_defaults=True), **kind}


def task_config(knobs: Mapping[str, Any]) -> TaskConfig:
    """The config of an experiment's task section. Raises ExperimentError naming the knob and what would be right."""
    config = tasks.registry()[_kind("task", knobs, tasks.registry())].config_type
    return _validate(config.model_validate, knobs, "task", _paths_of(config))


@lru_cache(maxsize=256)
def language(config: TaskConfig) -> Task[Any]:
    """The task of a config, made once."""
    return tasks.build(config)


@lru_cache(maxsize=4096)
def world_id(config: TaskConfig) -> str:
    """16 hex digits: the hash of a task's configuration and version."""
    return _digest({"task": _identity(config), "version": language(config).revision})


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
        return _digest(self.file.model_dump(mode="json", exclude_defaults=True))[:12]

    @property
    def key(self) -> str:
        """Where the experiment's own results are stored."""
        return f"experiments/{self.name}/{self.experiment_id}"

    @cached_property
    def by_id(self) -> dict[str, Run]:
        """The runs by their identity, with those that they go on from."""
        return {run.run_id: run for wave in self.waves for run in wave}

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
    data = _read_yaml(text)
    if not isinstance(data, dict):
        raise ExperimentError("the file is not a mapping; begin with 'apiVersion: physlm/v1' and 'kind: Experiment'")
    file = _validate(_File.model_validate, data, "", list(_File.model_fields))
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", file.name):
        raise ExperimentError(
            f"name: {file.name!r} must be 1 to 40 lower-case letters, digits and inner hyphens, such as 'capacity-2'"
        )
    named: dict[str, list[Any]] = {key: list(getattr(file, key)) for key in ("seeds", "measure", "probe", "laws")}
    named["probe"] = [_probe_name(entry) for entry in file.probe]
    for key, names in (known or {}).items():
        for name in named[key]:
            if name not in names:
                raise ExperimentError(f"{key}: {name!r} is not known; {_nearest(name, names)}")
    for key, items in named.items():
        if len(set(items)) < len(items):
            raise ExperimentError(f"{key}: {items} holds a value twice; give each once")
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
    return _validate(config.model_validate, dict(knobs), f"probe.{name}", list(config.model_fields))


def model(name: str, settings: Sequence[str]) -> ModelConfig:
    """The model of a name with some knobs set, each as 'knob=value'. Raises ExperimentError."""
    known = models.registry()
    value = {"type": name}
    cls = known[_kind("model", value, known)]
    for setting in settings:
        knob, equals, text = setting.partition("=")
        if not equals:
            raise ExperimentError(f"model: {setting!r} must be a knob and its value, such as 'width=64'")
        value[knob] = _read_yaml(text) if text.strip() else text
    return _validate(cls.model_validate, value, "model", _paths_of(cls))


class _Loader(yaml.SafeLoader):
    """YAML with two repairs: 1e-2 is a number (YAML 1.2), and a key given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise ExperimentError(f"line {key_node.start_mark.line + 1}: a key must be a word, not {key!r}")
            if key in seen:
                raise ExperimentError(f"line {key_node.start_mark.line + 1}: the key {key!r} is given twice")
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ExperimentError("aliases (*name) are not allowed; write the value out")
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$|^[-+]?\d[\d_]*\.[\d_]*$|^[-+]?\.(inf|nan)$", re.IGNORECASE),
    list("-+0123456789."),
)


def _read_yaml(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise ExperimentError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ExperimentError(f"not valid YAML: {reason}") from None


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
        task: TaskConfig = _section("task", file, changes, tasks.registry(), lambda cls: cls.config_type)
        model: ModelConfig = _section("model", file, changes, models.registry(), lambda cls: cls)
        training = _training(file, changes, language(task))
        _check_model(model, training)
        for seed in file.seeds:
            yield Run(task, model, training, seed)


def _check_paths(file: _File) -> None:
    """The keys of `vary` and `hold_out` must name knobs of a section."""
    fields = {
        "task": _fields(file, "task", tasks.registry(), lambda cls: cls.config_type),
        "model": _fields(file, "model", models.registry(), lambda cls: cls),
        "training": [*_paths_of(TrainingConfig), *_mix_paths(file)],
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
                raise ExperimentError(f"{where}.{path}: no such knob; {_nearest(path, valid)}")


def _mix_paths(file: _File) -> Iterator[str]:
    """Knobs of the streams mixed in, so that their shares and tasks may be varied."""
    mix = file.training.get("mix")
    for name, stream in mix.items() if isinstance(mix, dict) else ():
        yield f"mix.{name}.share"
        knobs = stream.get("task") if isinstance(stream, dict) else None
        kind = knobs.get("type", file.task.get("type")) if isinstance(knobs, dict) else None
        if isinstance(kind, str) and kind in tasks.registry():
            yield from (f"mix.{name}.task.{knob}" for knob in _paths_of(tasks.registry()[kind].config_type))


def _paths_of(config: type[BaseModel], value: Mapping[str, Any] | None = None) -> list[str]:
    """Knobs by their dotted paths; the value tells which task a task is around."""
    paths: list[str] = []
    for name, field in config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested, inner_value = field.annotation, (value or {}).get(name)
            if nested is TaskConfig and isinstance(inner_value, Mapping):
                task = tasks.registry().get(str(inner_value.get("type")))
                nested = task.config_type if task else nested
            paths += [f"{name}.{inner}" for inner in _paths_of(nested)]
        else:
            paths.append(name)
    return paths


T = TypeVar("T")
ConfigT = TypeVar("ConfigT", bound=BaseModel)


def _kind(section: Section, value: Mapping[str, Any], known: Mapping[str, Any], where: str = "") -> str:
    if "type" not in value:
        raise ExperimentError(f"{section}.type: is missing; choose one of {', '.join(known)}")
    kind = value["type"]
    if not isinstance(kind, str) or kind not in known:
        raise ExperimentError(f"{where or section}.type: {kind!r} is not known; {_nearest(str(kind), list(known))}")
    return kind


def _fields(file: _File, section: Section, known: Mapping[str, T], config: Callable[[T], type[BaseModel]]) -> list[str]:
    """Knobs of every type that the section takes (its type may itself be varied)."""
    value = getattr(file, section)
    kinds = file.vary.get(f"{section}.type") or [_kind(section, value, known)]
    names: dict[str, None] = {}
    for kind in kinds:
        cls = known[_kind(section, {"type": kind}, known)]
        names.update(dict.fromkeys(_paths_of(config(cls), value)))
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
    cls = config(known[_kind(section, value, known)])
    return _validate(cls.model_validate, value, section, _paths_of(cls, value))


def _training(file: _File, changes: Mapping[str, Value], task: Task[Any]) -> TrainingConfig:
    training = _resolved(_changed(file.training, "training", changes), task, "training")
    if training.start is not None:
        knobs = training.start.task
        before = _check_other("training.start.task", task, knobs)
        _resolved(training.start.training, before, _START)
    return training


def _resolved(value: Mapping[str, Any], task: Task[Any], where: str) -> TrainingConfig:
    training = _validate(TrainingConfig.model_validate, value, where, _paths_of(TrainingConfig))
    if training.exposures is None and training.tokens is None:
        right = "tokens" if task.population is None else "exposures"
        raise ExperimentError(f"{where}.{right}: is missing; say how long to train, such as '{right}: 100'")
    if training.exposures is not None and task.population is None:
        raise ExperimentError(
            f"{where}.exposures: {task.name} is endless fresh data, never shown twice; give 'tokens' instead"
        )
    context = training.context_length or task.max_length
    if context < task.max_length:
        raise ExperimentError(
            f"{where}.context_length: {context} is too short for an instance of {task.name}; "
            f"use at least {task.max_length}"
        )
    for name, stream in training.mix.items():
        other = _check_other(f"{where}.mix.{name}.task", task, stream.task)
        if other.max_length > context:
            raise ExperimentError(
                f"{where}.mix.{name}.task: an instance has up to {other.max_length} tokens, more than a window of "
                f"{context}; set training.context_length to {other.max_length} or more"
            )
    return training.model_copy(update={"context_length": context})


def _check_other(where: str, task: Task[Any], knobs: Mapping[str, Any]) -> Task[Any]:
    """The task that differs in these knobs and must have the same vocabulary."""
    kind = _kind("task", {"type": task.name, **knobs}, tasks.registry(), where)
    names = _paths_of(tasks.registry()[kind].config_type)
    other = language(_validate(lambda value: _mixed(task.config, value), knobs, where, names))
    if list(other.vocabulary) != list(task.vocabulary):
        raise ExperimentError(
            f"{where}: its {len(other.vocabulary)} tokens are not the {len(task.vocabulary)} of {task.name}; "
            "one model can learn both only if they have one vocabulary"
        )
    return other


def _check_model(model: ModelConfig, training: TrainingConfig) -> None:
    """The model must be able to learn to predict the next token of the run's windows."""
    if not model.causal:
        raise ExperimentError(
            f"model.type: {model.type} sees the tokens that it would be trained to predict; choose a decoder"
        )
    context, longest = training.context_length, model.longest_context
    if context is not None and longest is not None and context > longest:
        raise ExperimentError(
            f"model.distances: {longest} absolute positions are too few for windows of {context} tokens; "
            f"use at least {context}"
        )


def _validate(check: Callable[[Any], T], value: Any, where: str, names: Sequence[str]) -> T:
    try:
        return check(value)
    except ValidationError as error:
        raise ExperimentError(_sentence(error, where, names)) from None


def _sentence(error: ValidationError, where: str, names: Sequence[str]) -> str:
    """The first problem as one sentence: path, value, what would be right."""
    problems = error.errors()
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    path = ".".join(str(part) for part in (where, *problem["loc"]) if part != "")
    value = problem["input"]
    shown = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    match problem["type"]:
        case "extra_forbidden":
            inner = ".".join(str(part) for part in problem["loc"])
            return f"{path}: unknown key; {_nearest(inner, names)}"
        case "missing":
            return f"{path}: is missing"
        case "value_error":
            knob, _, text = str(problem["ctx"]["error"]).partition(": ")
            return f"{path}.{knob}: {text}".lstrip(".")
        case _:
            text = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{path}: {shown} is not valid: {text}"


def _nearest(word: str, names: Sequence[str]) -> str:
    close = [name for name in names if name.lower() == word.lower()] or get_close_matches(word, names, n=1, cutoff=0.5)
    if not close:  # the last part alone, for paths
        tails = {name.rpartition(".")[2]: name for name in names}
        close = [tails[tail] for tail in get_close_matches(word.rpartition(".")[2], list(tails), n=1, cutoff=0.5)]
    if close:
        return f"did you mean {close[0]!r}?"
    return f"valid are {', '.join(names)}"


def _lookup(run: Run, path: str) -> Any:
    value: Any = run
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else getattr(value, part, None)
    return value


def _check_hold_out(experiment: Experiment) -> None:
    for path, values in experiment.file.hold_out.items():
        present = {_lookup(run, path) for run in experiment.runs}
        for value in values:
            if value not in present:
                raise ExperimentError(
                    f"hold_out.{path}: no run has {value!r}; the values are {', '.join(map(str, sorted(present)))}"
                )
    if experiment.file.hold_out and all(experiment.held_out(run) for run in experiment.runs):
        raise ExperimentError("hold_out: every run is held out, so nothing is left to fit; hold out fewer values")


def _check_budget(experiment: Experiment) -> None:
    for name in ("tokens", "flops"):
        needed = sum(float(getattr(run, name)) for run in experiment.runs)
        limit = getattr(experiment.file.budget, name)
        if needed > limit:
            raise ExperimentError(
                f"budget.{name}: the runs need {needed:.3g} {name}, more than the {limit:.3g} allowed; "
                "vary less or raise the budget"
            )
