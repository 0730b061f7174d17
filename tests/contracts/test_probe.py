"""What every probe must do: find what is there, find nothing where there is nothing, and say by how much it is sure.

A new file in physlm.probes is tested here by being there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import Field

from physlm import randomness
from physlm.catalog import Observation
from physlm.catalog.emission import faults, find
from physlm.measures.measure import Member
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.probes import Probe, make, registry
from physlm.probes.samples import split
from physlm.tasks.capabilities import HasProbeQuestions, Probed, Questions
from physlm.tasks.copying import Copying, CopyingConfig
from physlm.tasks.task import Instances, Stream, TaskConfig

pytestmark = pytest.mark.slow  # each needs models and the states of all their layers

CLASSES = 4
SYMBOLS = 12
PLACES = 3


class PlantedConfig(TaskConfig):
    type: Literal["planted"] = "planted"
    length: int = Field(14, description="tokens behind the separator")


class Planted(Probed[PlantedConfig], HasProbeQuestions[PlantedConfig]):
    """Random symbols: `planted` is their remainder by 4, `absent` a coin. Questions are about the last one shown."""

    config_type = PlantedConfig
    targets: ClassVar[Mapping[str, int]] = {"planted": CLASSES, "absent": 2}

    @property
    def vocabulary(self) -> Sequence[str]:
        return ["<s>", *(f"s{i}" for i in range(SYMBOLS)), "?"]

    @property
    def separator(self) -> int:
        return 0

    @property
    def max_length(self) -> int:
        return 1 + self.config.length

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        length = self.max_length
        draws = randomness.words(stream.key("planted"), indices, 3 * length).astype(np.int64).reshape(-1, 3, length)
        symbol, coin, toss = draws[:, 0] % SYMBOLS, draws[:, 1] % 2, draws[:, 2] % 3 == 0
        tokens = symbol + 1
        tokens[:, 0] = 0
        place = np.full(length, -1)
        place[4::4] = np.arange(PLACES)
        labels = {
            "planted": symbol % CLASSES,
            "absent": coin,
            "end": toss.astype(np.int64),
            "place": np.broadcast_to(place, tokens.shape),
        }
        for name in ("planted", "absent", "end"):
            labels[name][:, 0] = -1
        return Instances(
            tokens.reshape(-1).astype(np.int32),
            np.arange(len(indices) + 1) * length,
            np.ones(tokens.size, np.bool_),
            {name: values.reshape(-1).astype(np.int32) for name, values in labels.items()},
        )

    @property
    def probe_targets(self) -> Mapping[str, int]:
        return self.targets

    @property
    def probe_ends(self) -> Mapping[str, str]:
        return dict.fromkeys(self.targets, "end")

    @property
    def probe_place(self) -> str:
        return "place"

    @property
    def question_targets(self) -> Mapping[str, int]:
        return self.targets

    def questions(self, target: str, stream: Stream, indices: NDArray[np.int64]) -> Questions:
        instances, q = self.sample(stream, indices), len(indices)
        shown = np.full(q, 6)
        asked = np.full(q, SYMBOLS + 1, np.int32)
        answer = instances.labels[target][instances.offsets[:-1] + shown - 1]
        return Questions(np.arange(q), shown, asked, np.arange(q + 1), answer)


class Turned(Planted):
    """The same, but coins are turned over in the instances that a probe of one member is tested on."""

    def __init__(self, config: PlantedConfig, seed: int) -> None:
        super().__init__(config)
        self.seed = seed

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        instances = super().sample(stream, indices)
        _, test = split(member(self.seed), instances)
        coin = instances.labels["absent"]
        turn = np.repeat(test, instances.lengths) & (coin >= 0)
        return replace(instances, labels={**instances.labels, "absent": np.where(turn, 1 - coin, coin)})


TASK = Planted(PlantedConfig())
PROBES = [name for name, cls in registry.items() if cls.unsupported_reason(TASK) is None]
every_probe = pytest.mark.parametrize("name", PROBES)
any_probe = pytest.mark.parametrize("name", list(registry))  # of some task alone, too


def member(seed: int) -> Member:
    return Member(TASK, seed, TASK.max_length, 1000)


def decoder(seeds: list[int]) -> Decoder:
    """Members that see their tokens, and twins that are blind: whose embedding is 0 for all."""
    made = Decoder(Gpt2Config(layers=2, heads=2, width=16), len(TASK.vocabulary), 2 * len(seeds))
    initialise(made, seeds * 2)
    with torch.no_grad():
        made.embedding[len(seeds) :] = 0.0
    return made.eval().requires_grad_(False)


def made(name: str) -> Probe:
    """The probe, with less to do where it can be told to."""
    knobs = {"steps": 200, "instances": 600, "questions": 1500}
    known = registry[name].config_type.model_fields
    return make(name, {knob: value for knob, value in knobs.items() if knob in known})


@cache
def read(name: str, seeds: tuple[int, ...]) -> list[list[Observation]]:
    return made(name).evaluate(decoder(list(seeds)), [member(seed) for seed in seeds])


@cache
def turned(name: str, seed: int) -> list[Observation]:
    """As `read`, but with coins turned over in the instances that are for testing."""
    task = Turned(PlantedConfig(), seed)
    return made(name).evaluate(decoder([seed]), [replace(member(seed), task=task)])[0]


def absent(name: str, rows: Sequence[Observation]) -> list[Observation]:
    return [o for o in rows if o.measure == f"probe.{name}.absent"]


def whole(name: str, rows: Sequence[Observation]) -> Observation:
    found = [o for o in rows if o.measure == f"probe.{name}.planted" and o.layer is None and o.position is None]
    assert len(found) == 1, (
        f"{name} gives {len(found)} observations of probe.{name}.planted without a layer and a position; it must give "
        "one, which stands for the model as a whole"
    )
    return found[0]


@every_probe
@pytest.mark.parametrize("m", [0, 1])
def test_what_is_planted_is_found(name: str, m: int) -> None:
    """If weakly: better than chance is enough."""
    found = whole(name, read(name, (3, 4))[m])
    assert found.value > float(found.chance or 0.0) + 5 * float(found.stderr or 0.0), (
        f"{name} reads {found.value:.3f} ± {found.stderr:.3f} of what is planted in the tokens right, at a chance of "
        f"{found.chance}: it doesn't find what is there"
    )


@every_probe
@pytest.mark.parametrize("m", [0, 1])
def test_what_is_absent_is_not_found(name: str, m: int) -> None:
    for o in read(name, (3, 4))[m]:
        if o.measure == f"probe.{name}.absent":
            assert abs(o.value - 1 / 2) < 4.5 * o.stderr, (
                f"{name} reads {o.value:.3f} ± {o.stderr:.3f} of coins right that are in no state, where a guess gives "
                "0.5: labels leak into what it is trained on or tested on, such as test items in training"
            )


@every_probe
def test_what_is_read_does_not_depend_on_the_labels_that_it_is_tested_on(name: str) -> None:
    """Twice the same probe, but coins lie the other way up in what it is tested on: whatever it says of a coin, it is
    right one time out of two. Who saw these labels in training would be right more often."""
    both = [absent(name, rows) for rows in (read(name, (3,))[0], turned(name, 3))]
    for one, other in zip(*both, strict=True):
        assert one.value + other.value == pytest.approx(1, abs=0.01), (
            f"{one.measure} is {one.value:.3f}, and {other.value:.3f} where the labels for testing are turned over: "
            "these add up to 1 only if no label that is tested on is seen in training; leave out the items that "
            "`Sample.test` or `Texts.test` marks"
        )


@every_probe
def test_controls_are_at_chance(name: str) -> None:
    rows = [row for found in read(name, (3, 4)) for row in found]
    for control, what in (
        ("untrained", "in models that don't see their tokens: is it given the untrained twins' own states?"),
        ("shuffled", "with labels exchanged among instances: it must be trained and tested on these same labels"),
    ):
        found = [o for o in rows if o.measure == f"probe.{name}.planted.{control}"]
        assert found, f"{name} has no control probe.{name}.planted.{control}"
        for o in found:
            assert abs(o.value - 1 / CLASSES) < 4.5 * o.stderr, (
                f"{name} reads {o.value:.3f} ± {o.stderr:.3f} right, where a guess gives {1 / CLASSES}, {what}"
            )


@every_probe
def test_chance_is_what_a_blind_model_gets(name: str) -> None:
    """The twins here don't see their tokens: what is read of them, their states tell nothing of."""
    rows = [row for found in read(name, (3, 4)) for row in found]
    blind = [o for o in rows if o.measure == f"probe.{name}.planted.untrained"]
    for o in (o for o in rows if o.chance is not None and "absent" not in o.measure):
        low = min(b.value - 4.5 * b.stderr for b in blind)
        high = max(b.value + 4.5 * b.stderr for b in blind)
        assert low <= o.chance <= high, (
            f"{o.measure} says that chance is {o.chance:.3f}, but a model that doesn't see its tokens gets "
            f"{min(b.value for b in blind):.3f} to {max(b.value for b in blind):.3f}: chance is the share of the class "
            "that is most frequent in training (physlm.probes.scores.majority)"
        )


@every_probe
def test_what_the_probe_does_by_itself_is_taken_off(name: str) -> None:
    rows = [row for found in read(name, (3, 4)) for row in found]
    best = {(o.layer, o.position): o for o in rows if o.measure == f"probe.{name}.planted"}
    for o in rows:
        if o.measure == f"probe.{name}.planted.selectivity" and best[o.layer, o.position].value > 0.9:
            assert o.value > 0.1, (
                f"{name} tells a random function of the last tokens almost as well as what is planted: {o}"
            )


@every_probe
def test_a_member_is_probed_as_it_would_be_alone(name: str) -> None:
    """Up to readings on the edge between two classes, which rounding decides."""
    alone, together = read(name, (4,))[0], read(name, (3, 4))[1]
    assert [(o.measure, o.layer, o.position, o.n) for o in alone] == [
        (o.measure, o.layer, o.position, o.n) for o in together
    ], f"{name} gives other observations of a model alone than beside another one"
    for a, b in zip(alone, together, strict=True):
        assert a.value == pytest.approx(b.value, abs=0.5 * b.stderr + 0.01), (
            f"{a.measure} is {a.value:.3f} alone, but {b.value:.3f} beside another model"
        )


@every_probe
def test_observations_are_as_declared(name: str) -> None:
    rows = read(name, (3, 4))[0]
    emissions = registry[name].emits(TASK)
    wrong = list(faults(emissions, rows))
    assert not wrong, wrong[0]
    kinds = [(o.measure, o.layer, o.position) for o in rows]
    assert len(set(kinds)) == len(kinds), f"{name} gives two observations of one name, layer and position"
    given = {find(emissions, o) for o in rows}
    for emission in emissions:
        assert emission in given or "<" in emission.name, f"{name} declares {emission.name}, which it doesn't give"
    for o in rows:
        emission = find(emissions, o)
        assert emission is not None
        assert (emission.chance is None) == (o.chance is None), (
            f"the chance of {o.measure} is {o.chance}, but its declaration says {emission.chance!r}"
        )
        assert o.n > 50, f"{o.measure} comes of {o.n} instances: test on more"
        assert o.stderr >= 0


@any_probe
def test_a_task_without_ground_truth_is_refused_with_the_reason(name: str) -> None:
    probe: type[Probe] = registry[name]

    class Bare(Copying):
        probe_targets: ClassVar[Mapping[str, int]] = {}

    reason = probe.unsupported_reason(Bare(CopyingConfig()))
    assert reason is not None, f"{name} doesn't refuse copying without labels, of which it can read nothing"
    assert reason.startswith("copying has no "), f"the reason should say what the task has not, not {reason!r}"


@any_probe
def test_its_name_is_that_of_its_observations_and_it_says_what_it_reads(name: str) -> None:
    cls: type[Probe] = registry[name]
    file = registry.file_of(name).stem
    assert cls().source == f"probe-{name}-v{cls.version}"
    assert name.startswith(file) or file == f"{name}_probe", (
        f"the probe {name!r} is in the file {file}.py: name the file {name}.py or {name}_probe.py"
    )
    assert cls.__doc__, f"{cls.__qualname__} has no docstring that says what it reads"
    assert cls.emits(), f"{name} declares no observation in `emits`"
    for emission in cls.emits():
        assert emission.meaning, f"the emission {emission.name} has no meaning"
        assert emission.unit, f"the emission {emission.name} has no unit; shares have '1'"
