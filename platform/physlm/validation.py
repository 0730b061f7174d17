"""Knobs as people write them, checked: what is wrong is told in one sentence, with its path and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from physlm import tasks
from physlm.errors import ExperimentError
from physlm.registry import nearest
from physlm.tasks.task import TaskConfig

Section = Literal["task", "model", "training"]
T = TypeVar("T")


def validate(check: Callable[[Any], T], value: Any, where: str, names: Sequence[str]) -> T:
    try:
        found = check(value)
    except ValidationError as error:
        raise ExperimentError(_sentence(error, where, names)) from None
    if isinstance(found, BaseModel) and isinstance(value, Mapping):
        _refuse_truth_values(found, value, where)
    return found


def _refuse_truth_values(found: BaseModel, value: Mapping[str, Any], where: str) -> None:
    """true would be taken for 1, and false for 0. Raises ExperimentError where a number is asked for."""
    for name, given in value.items():
        taken = getattr(found, name, None)
        if isinstance(given, bool) and isinstance(taken, int | float) and not isinstance(taken, bool):
            raise ExperimentError(f"{where}.{name}: {str(given).lower()} is not valid: write a number".lstrip("."))
        if isinstance(given, Mapping) and isinstance(taken, BaseModel):
            _refuse_truth_values(taken, given, f"{where}.{name}")


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
            return f"{path}: unknown key; {nearest(inner, names)}"
        case "missing":
            return f"{path}: is missing"
        case "value_error":
            knob, _, text = str(problem["ctx"]["error"]).partition(": ")
            return f"{path}.{knob}: {text}".lstrip(".")
        case _:
            text = problem["msg"][0].lower() + problem["msg"][1:]
            return f"{path}: {shown} is not valid: {text}"


def kind_of(section: Section, value: Mapping[str, Any], known: Mapping[str, Any], where: str = "") -> str:
    if "type" not in value:
        raise ExperimentError(f"{section}.type: is missing; choose one of {', '.join(known)}")
    kind = value["type"]
    if not isinstance(kind, str) or kind not in known:
        raise ExperimentError(f"{where or section}.type: {kind!r} is not known; {nearest(str(kind), list(known))}")
    return kind


def paths_of(config: type[BaseModel], value: Mapping[str, Any] | None = None) -> list[str]:
    """Knobs by their dotted paths; the value tells which task a task is around."""
    paths: list[str] = []
    for name, field in config.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            nested, inner_value = field.annotation, (value or {}).get(name)
            if nested is TaskConfig and isinstance(inner_value, Mapping):
                task = tasks.registry.get(str(inner_value.get("type")))
                nested = task.config_type if task else nested
            paths += [f"{name}.{inner}" for inner in paths_of(nested)]
        else:
            paths.append(name)
    return paths
