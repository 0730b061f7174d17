"""Runs: fully resolved conditions, whose identity is a hash of what they are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from pydantic import BaseModel

from physlm import models, tasks
from physlm.catalog import Moment
from physlm.errors import ExperimentError
from physlm.models.model import ModelConfig
from physlm.tasks.task import Task, TaskConfig
from physlm.training.config import TrainingConfig
from physlm.training.schedules import has_trunk
from physlm.validation import kind_of, paths_of, validate
from physlm.yaml_loader import read_yaml

START = "training.start.training"
"""Where an experiment says how the run was trained that another goes on from."""


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
        return Run(task, self.model, resolved_training(start.training, language(task), START), self.seed)

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
        training = identity(self.training)
        if self.parent is not None:  # what it goes on from is all in the parent's identity
            own = {name: value for name, value in training["start"].items() if name == "lora"}
            training["start"] = {**own, "run_id": self.parent.run_id}
        return {
            "task": identity(self.task),
            "model": identity(self.model),
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
        return digest(self.canonical())

    @cached_property
    def condition_id(self) -> str:
        """8 hex digits, the same for all seeds of one condition."""
        return digest({**self.canonical(), "seed": None})[:8]

    @cached_property
    def trunk_id(self) -> str:
        """16 hex digits, the same for runs that train alike until the learning rate of one of them decays (wsd)."""
        if not has_trunk(self.training.schedule):
            return self.run_id
        canonical = self.canonical()
        knobs = {k: v for k, v in canonical["training"].items() if k not in ("exposures", "tokens")}
        schedule = {k: v for k, v in knobs["schedule"].items() if k not in ("decay", "final")}
        return digest({**canonical, "training": {**knobs, "schedule": schedule}})

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
        """Tokens in the budget; an estimate where instances differ in length or streams are mixed in."""
        if self.training.tokens is not None:
            return self.training.tokens
        assert self.instances is not None
        return round(self.instances * self.language.mean_length / self.training.own_share)

    @property
    def flops_per_token(self) -> int:
        """Training FLOPs per token: forward and, twice that, backward."""
        return 3 * self.model.flops_per_token(len(self.language.vocabulary), self.context_length)

    @property
    def flops(self) -> float:
        """Training FLOPs of the budget."""
        return float(self.tokens) * self.flops_per_token


def trunks(runs: Iterable[Run]) -> list[list[Run]]:
    """Group runs that train as one for a while."""
    families: dict[str, list[Run]] = {}
    for run in runs:
        families.setdefault(run.trunk_id, []).append(run)
    return list(families.values())


def own_shares(runs: Iterable[Run]) -> Iterator[tuple[Run, float]]:
    """Each run with the share of its budget that is trained for it: of a trunk all for the run that it serves longest.

    The others only pay for their decay.
    """
    for family in trunks(runs):
        along = max(family, key=lambda run: ((1 - run.training.schedule.decay) * run.tokens, run.tokens, run.run_id))
        yield from ((run, 1.0 if run is along else run.training.schedule.decay) for run in family)


def task_config(knobs: Mapping[str, Any]) -> TaskConfig:
    """The config of an experiment's task section. Raises ExperimentError naming the knob and what would be right."""
    config = tasks.registry[kind_of("task", knobs, tasks.registry)].config_type
    return validate(config.model_validate, knobs, "task", paths_of(config))


def model_config(name: str, settings: Sequence[str]) -> ModelConfig:
    """The model of a name with some knobs set, each as 'knob=value'. Raises ExperimentError."""
    known = models.registry
    value = {"type": name}
    cls = known[kind_of("model", value, known)]
    for setting in settings:
        knob, equals, text = setting.partition("=")
        if not equals:
            raise ExperimentError(f"model: {setting!r} must be a knob and its value, such as 'width=64'")
        value[knob] = read_yaml(text) if text.strip() else text
    return validate(cls.model_validate, value, "model", paths_of(cls))


@lru_cache(maxsize=256)
def language(config: TaskConfig) -> Task[Any]:
    """The task of a config, made once."""
    return tasks.build(config)


@lru_cache(maxsize=4096)
def world_id(config: TaskConfig) -> str:
    """16 hex digits: the hash of a task's configuration and version."""
    return digest({"task": identity(config), "version": language(config).revision})


def resolved_training(value: Mapping[str, Any], task: Task[Any], where: str) -> TrainingConfig:
    training = validate(TrainingConfig.model_validate, value, where, paths_of(TrainingConfig))
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
        other = other_task(f"{where}.mix.{name}.task", task, stream.task)
        if other.max_length > context:
            raise ExperimentError(
                f"{where}.mix.{name}.task: an instance has up to {other.max_length} tokens, more than a window of "
                f"{context}; set training.context_length to {other.max_length} or more"
            )
    return training.model_copy(update={"context_length": context})


def other_task(where: str, task: Task[Any], knobs: Mapping[str, Any]) -> Task[Any]:
    """The task that differs in these knobs and must have the same vocabulary."""
    kind = kind_of("task", {"type": task.name, **knobs}, tasks.registry, where)
    names = paths_of(tasks.registry[kind].config_type)
    other = language(validate(lambda value: _mixed(task.config, value), knobs, where, names))
    if list(other.vocabulary) != list(task.vocabulary):
        raise ExperimentError(
            f"{where}: its {len(other.vocabulary)} tokens are not the {len(task.vocabulary)} of {task.name}; "
            "one model can learn both only if they have one vocabulary"
        )
    return other


def _mixed(task: TaskConfig, knobs: Mapping[str, Any]) -> TaskConfig:
    """A task that differs from another in these knobs; if its type differs, the knobs are all it has."""
    kind = knobs.get("type", task.type)
    own = task.model_dump(exclude_defaults=True) if kind == task.type else {}
    return tasks.registry[kind].config_type.model_validate({**own, **knobs, "type": kind})


def _flat(prefix: str, value: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _flat(f"{prefix}.{name}", inner)
        else:
            yield f"{prefix}.{name}", inner


def identity(config: BaseModel) -> dict[str, Any]:
    """What a config says beside its defaults, so that a new knob leaves the identity of old runs as it is.

    Whoever changes a default must raise the version of the config's class.
    """
    kind = {"type": config.type} if hasattr(config, "type") else {}
    return {**config.model_dump(mode="json", exclude_defaults=True), **kind}


def digest(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
