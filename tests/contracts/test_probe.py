"""What every probe must do: find what is there, find nothing where there is nothing, and say by how much it is sure.

A new file in physlm.probes is tested here by being there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import Field

from physlm import randomness
from physlm.catalog import Observation
from physlm.measures.measure import Member
from physlm.models.decoder import Decoder, initialise
from physlm.models.gpt2 import Gpt2Config
from physlm.probes import Probe, make, registry
from physlm.tasks.capabilities import HasProbeQuestions, Probed, Questions
from physlm.tasks.copying import Copying, CopyingConfig
from physlm.tasks.task import Instances, Stream, TaskConfig

CLASSES = 4
SYMBOLS = 12
PLACES = 3


class PlantedConfig(TaskConfig):
    type: Literal["planted"] = "planted"
    length: int = Field(14, description="tokens behind the separator")


class Planted(Probed[PlantedConfig], HasProbeQuestions[PlantedConfig]):
    """Random symbols: `planted` is their remainder by 4, `absent` a coin. Questions are about the last one shown."""

    config_type = PlantedConfig
    targets: ClassVar[Mapping[str, int]] = {"planted": CLASSES, "absent": CLASSES}

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
        symbol, coin, toss = draws[:, 0] % SYMBOLS, draws[:, 1] % CLASSES, draws[:, 2] % 3 == 0
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


TASK = Planted(PlantedConfig())
PROBES = [name for name, cls in registry.items() if cls.suits(TASK) is None]
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
    return made(name).read(decoder(list(seeds)), [member(seed) for seed in seeds])


@every_probe
@pytest.mark.parametrize("m", [0, 1])
def test_what_is_planted_is_found_and_what_is_absent_is_not(name: str, m: int) -> None:
    rows = read(name, (3, 4))[m]
    (found,) = (o for o in rows if o.measure == f"probe.{name}.planted" and o.layer is None and o.position is None)
    assert found.value > 0.9
    assert found.value > found.chance + 5 * found.stderr
    for o in rows:
        if o.measure == f"probe.{name}.absent":
            assert abs(o.value - 1 / CLASSES) < 4.5 * o.stderr, o


@every_probe
def test_controls_are_at_chance(name: str) -> None:
    rows = [row for found in read(name, (3, 4)) for row in found]
    blind = [o for o in rows if o.measure.endswith("planted.untrained")]
    exchanged = [o for o in rows if o.measure.endswith("planted.shuffled")]
    assert blind
    assert exchanged
    for o in (*blind, *exchanged):
        assert abs(o.value - 1 / CLASSES) < 4.5 * o.stderr, o
        assert o.chance == pytest.approx(1 / CLASSES, abs=0.1)
    best = {o.layer: o for o in rows if o.measure == f"probe.{name}.planted"}
    for o in rows:
        if o.measure.endswith("planted.selectivity") and best[o.layer].value > 0.9:
            assert o.value > 0.1, o


@every_probe
def test_a_member_is_probed_as_it_would_be_alone(name: str) -> None:
    """Up to readings on the edge between two classes, which rounding decides."""
    alone, together = read(name, (4,))[0], read(name, (3, 4))[1]
    assert [(o.measure, o.layer, o.position, o.n) for o in alone] == [
        (o.measure, o.layer, o.position, o.n) for o in together
    ]
    for a, b in zip(alone, together, strict=True):
        assert a.value == pytest.approx(b.value, abs=0.5 * b.stderr + 0.01), a


@every_probe
def test_observations_say_what_they_are(name: str) -> None:
    rows = read(name, (3, 4))[0]
    whole = [o for o in rows if o.layer is None and o.position is None]
    assert {o.measure for o in whole} == {f"probe.{name}.{target}" for target in Planted.targets}
    assert len({(o.measure, o.layer, o.position) for o in rows}) == len(rows)
    for o in rows:
        assert o.target in Planted.targets
        assert o.measure.startswith(f"probe.{name}.{o.target}")
        assert o.unit == "1"
        assert o.n > 50
        assert o.stderr >= 0


@any_probe
def test_a_task_without_ground_truth_is_refused_with_the_reason(name: str) -> None:
    probe: type[Probe] = registry[name]
    assert (probe.suits(TASK) is None) == (name in PROBES)

    class Bare(Copying):
        probe_targets: ClassVar[Mapping[str, int]] = {}

    reason = probe.suits(Bare(CopyingConfig()))
    assert reason is not None
    assert reason.startswith("copying has no ")


@any_probe
def test_its_name_is_that_of_its_file_of_observations(name: str) -> None:
    cls: type[Probe] = registry[name]
    assert cls().source == f"probe-{name}-v{cls.version}"
    assert cls.__doc__
