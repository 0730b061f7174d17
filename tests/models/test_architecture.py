"""Knobs of decoders: those of all blocks and of every registered part, each defined once."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from physlm.errors import RegistrationError
from physlm.models import parse
from physlm.models.architecture import PARTS, DecoderConfig, config_types, own_knobs
from physlm.models.block import BlockConfig
from physlm.models.counts import Counts
from physlm.models.mixers.attention import Attention, AttentionConfig
from physlm.models.mixers.mixer import Mixer
from physlm.registry import Registry


class ClashingConfig(BlockConfig):
    window: int = Field(3, description="another window than attention's")


class WiderConfig(BlockConfig):
    width: int = 64


class InheritingConfig(AttentionConfig):
    span: int = 5


def mixer(config: type[BlockConfig]) -> type[Mixer[Any]]:
    class Late(Mixer[Any]):
        name = "late"
        config_type = config

        @classmethod
        def counts(cls, config: Any, context: int) -> Counts:
            return Counts()

        def forward(self, x: Any, batch: int, cache: Any = None) -> Any:
            return x

    return Late


def registry_of(*mixers: type[Mixer[Any]]) -> Registry[Any]:
    registry: Registry[Any] = Registry("mixer", "physlm.models.parts")  # a package in which nothing is registered
    for one in mixers:
        registry.register(one)
    return registry


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (ClashingConfig, r"the mixer 'late' \(.*test_architecture.py\) defines the knob 'window', which the mixer "),
        (WiderConfig, "the mixer 'late' .* defines the knob 'width', which all blocks have"),
    ],
)
def test_a_knob_is_defined_once(config: type[BlockConfig], sentence: str) -> None:
    with pytest.raises(RegistrationError, match=sentence):
        config_types({"mixer": registry_of(Attention, mixer(config))})


def test_a_part_may_inherit_the_knobs_of_another() -> None:
    assert config_types({"mixer": registry_of(Attention, mixer(InheritingConfig))}) == [InheritingConfig]


def test_every_architecture_has_the_knobs_of_all_parts() -> None:
    for parts in PARTS.values():
        for part in parts.values():
            assert set(own_knobs(part)) <= set(DecoderConfig.model_fields)
            assert issubclass(DecoderConfig, part.config_type)


@pytest.mark.parametrize(
    ("knobs", "sentence"),
    [
        ({"mixer": "atention"}, "mixer: 'atention' is not known; did you mean 'attention'"),
        ({"mlp": "non"}, "mlp: 'non' is not known; did you mean 'none'"),
        ({"mlp": "none", "mlp_size": 2.0}, "mlp_size: 2.0 means nothing with mlp 'none'; .* experts or gated or gelu"),
        ({"mixer": "uniform", "positions": "none", "state": 4}, "choose mixer gdn or gla or mamba2"),
    ],
)
def test_names_and_knobs_that_mean_nothing_are_refused(knobs: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse({"type": "gpt2", **knobs})
