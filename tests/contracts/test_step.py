"""What every step must be: one file, at its place, true about what it reads and writes, done once."""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path

import pytest

from physlm import experiment as experiments
from physlm import steps
from physlm.errors import RegistrationError, UserError
from physlm.experiment import Experiment
from physlm.registry import Registry
from physlm.steps import Event, Outcome, Step
from physlm.steps.order import in_order, with_quick_ones
from physlm.store import LocalStore, Store, layout

TEXT = """
apiVersion: physlm/v1
kind: Experiment
name: steps
question: Does every step do what it says?
task: {type: biod, people: 20, attributes: 2, diversity: 8, vocabulary: 8}
model: {type: gpt2, layers: 1, heads: 1, width: 8}
training: {batch_size: 8}
vary: {training.exposures: [1, 2, 3, 4]}
seeds: [0, 1]
measure: [loss, knowledge_bits]
probe: [linear]
laws: [exposures]
"""

every_step = pytest.mark.parametrize("step", steps.registry.values(), ids=list(steps.registry))


@every_step
def test_it_says_what_it_does(step: type[Step]) -> None:
    assert step.__doc__, f"{step.name} has no docstring, which is its help text"
    assert step.__doc__ != Step.__doc__
    assert steps.registry.file_of(step.name).stem == step.name.replace("-", "_"), "a step's file has its name"


@every_step
def test_its_options_are_ones_of_a_command_line(step: type[Step]) -> None:
    for name, option in step.model_fields.items():
        assert option.description, f"the option {name} of {step.name} has no description"
        kinds = set(typing.get_args(option.annotation)) or {option.annotation}
        assert len(kinds - {types.NoneType}) == 1, f"the option {name} of {step.name} must have one type"
        assert kinds <= {int, float, str, bool, types.NoneType}, f"{name} of {step.name} can't be written as a word"
        assert not option.is_required(), f"the option {name} of {step.name} has no default, and pods give none"
        for other in steps.registry.values():
            twin = other.model_fields.get(name, option)
            assert twin.annotation == option.annotation, f"{step.name} and {other.name} differ in what {name} is"


@every_step
def test_its_pod_can_be_asked_for(step: type[Step]) -> None:
    assert float(step.pod.cpu) > 0
    assert step.pod.memory.endswith(("Mi", "Gi"))
    assert step.pod.seconds >= 60
    assert step.pod.accelerators >= 0


def test_the_first_step_alone_reads_nothing_of_others() -> None:
    first, *others = in_order()
    assert not first.reads
    assert not first.after
    for step in others:
        assert step.reads, f"{step.name} reads nothing, not even the experiment file that {first.name} writes"


def test_steps_come_after_what_they_depend_on() -> None:
    names = [step.name for step in in_order()]
    assert sorted(names) == list(steps.registry)
    for step in steps.registry.values():
        writers = [other.name for other in steps.registry.values() if set(other.writes) & set(step.reads)]
        for name in {*writers, *step.after} - {step.name}:
            assert names.index(name) < names.index(step.name), f"{step.name} needs what {name} writes"


def test_before_a_step_that_is_asked_for_alone_come_quick_ones() -> None:
    for step in steps.registry.values():
        *before, last = with_quick_ones(step)
        assert last is step
        assert all(one.quick for one in before)
        assert in_order()[0] in [*before, last]


# What a step says of itself is compared with what it does to a store.


class Watched(LocalStore):
    """A store that notes what is read from it in this process."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.got: set[str] = set()

    def _read(self, key: str, sink: typing.BinaryIO) -> None:
        super()._read(key, sink)
        self.got.add(key)


def pattern(key: Callable[..., str]) -> str:
    """The keys of a kind, as a pattern."""
    number = 999_999_999_999_999  # in all digits that keys have
    kinds = typing.get_type_hints(key)
    values = [number if kinds[name] is int else "*" for name in inspect.signature(key).parameters]
    return key(*values).replace(str(number), "*")


def state(store: Store) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list()}


@pytest.fixture(scope="module")
def study() -> Experiment:
    return experiments.parse(TEXT, steps.known_names())


@pytest.fixture(scope="module")
def done(study: Experiment, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[set[str], set[str]]]:
    """By step, the keys that it has written and those that it has read, of all steps in their order."""
    store = Watched(tmp_path_factory.mktemp("store"))
    found = {}
    before: dict[str, bytes] = {}
    for cls in in_order():
        options = {name: 1 for name in ("processes", "nproc") if name in cls.model_fields}
        step, events = cls(**options), list[Event]()
        assert step.missing(store, study) is None
        store.got.clear()
        step.run(store, study, events.append)
        read, after = set(store.got), state(store)
        assert {event.step for event in events} <= {cls.name}
        outcome = step.outcome(store, study)
        assert isinstance(outcome, Outcome)
        json.dumps(outcome.document, allow_nan=False)
        assert outcome.summary or outcome.rows, f"{cls.name} says nothing of what it has come to"
        for shown in cls.shows:
            assert getattr(outcome, shown) is not None
        found[cls.name] = ({key for key in after if before.get(key) != after[key]}, read)
        step.run(store, study)
        assert state(store) == after, f"{cls.name} isn't done once: the second time it writes something else"
        before = after
    return found


@pytest.mark.slow
@every_step
def test_it_writes_and_reads_what_it_says(step: type[Step], done: dict[str, tuple[set[str], set[str]]]) -> None:
    written, read = done[step.name]
    may_write = [pattern(key) for key in step.writes]
    for key in sorted(written):
        assert any(fnmatch(key, one) for one in may_write), f"{step.name} writes {key}, which isn't among its `writes`"
    may_read = [*may_write, *(pattern(key) for key in step.reads)]
    for key in sorted(read):
        assert any(fnmatch(key, one) for one in may_read), f"{step.name} reads {key}, which isn't among its `reads`"


# Mistakes, each told in a sentence.


@pytest.fixture
def other_registry(monkeypatch: pytest.MonkeyPatch) -> Registry[type[Step]]:
    """The registry with room for more steps."""
    registry: Registry[type[Step]] = Registry("step", "physlm.steps")
    for step in steps.registry.values():
        registry.register(step)
    monkeypatch.setattr("physlm.steps.order.registry", registry)
    return registry


def made(name: str, **of: object) -> type[Step]:
    return type(name.title(), (Step,), {"name": name, "run": lambda *_: None, "__module__": __name__, **of})


def unwritten_key(experiment: str) -> str:
    return layout.result_key(experiment, "nothing.csv")


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"reads": (unwritten_key,)}, "the step 'wrong' .* reads unwritten_key, which no other step writes"),
        ({"after": ("colect",)}, "the step 'wrong' .* comes after 'colect', which is no step; did you mean 'collect'?"),
        (
            {"writes": (layout.world_card_key,), "reads": (layout.report_key,)},
            "the steps report, wrong wait for each other",
        ),
    ],
)
def test_a_step_at_no_place_is_refused(
    wrong: dict[str, object], sentence: str, other_registry: Registry[type[Step]]
) -> None:
    other_registry.register(made("wrong", **wrong))
    with pytest.raises(RegistrationError, match=sentence):
        in_order()


def test_a_new_step_gets_its_place(other_registry: Registry[type[Step]]) -> None:
    other_registry.register(made("planted", reads=(layout.observations_key,)))
    names = [step.name for step in in_order()]
    assert names.index("planted") > names.index("collect"), "it reads what `collect` writes"


def test_an_option_that_no_step_has_is_refused(study: Experiment, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no step has the option 'procceses'; did you mean 'processes'"):
        steps.run(LocalStore(tmp_path), study, procceses=2)
    assert not list(tmp_path.iterdir())
