"""Random strings: nothing to learn but the strings themselves (total memorisation; Morris et al. 2025).

N distinct strings of L symbols out of V, uniform; every exposure shows each of them once. A sample:

    config  strings=100 length=4 symbols=8
    text    <s> s4 s6 s3 s2
    loss      1  1  1  1  1
    string   77 77 77 77 77

There is no rule behind them, so whatever a model predicts better than chance it has memorised. A model that knows them
all still can't tell which one comes: it memorises at most N·log₂(V^L/N) bits (as of names in Part 3.3, section 2.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import log, log2
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from physlm import randomness
from physlm.tasks.capabilities import HasEntropy, Incompressible
from physlm.tasks.task import Axis, Instances, Stream, TaskConfig, register


class StringsConfig(TaskConfig):
    """Knobs of random strings."""

    type: Literal["strings"] = "strings"
    strings: int = Field(1000, ge=2, le=10**8, description="N, strings to memorise")
    length: int = Field(16, ge=1, le=100_000, description="L, symbols in a string")
    symbols: int = Field(32, ge=2, le=60_000, description="V, symbols that strings are made of")

    @model_validator(mode="after")
    def _enough_strings(self) -> StringsConfig:
        if self.strings > self.symbols**self.length:
            raise ValueError(
                f"strings: {self.symbols} symbols and length {self.length} give only {self.symbols**self.length} "
                f"distinct strings, not {self.strings}"
            )
        return self


@register
class Strings(HasEntropy[StringsConfig], Incompressible[StringsConfig]):
    """Strings without any rule."""

    config_type = StringsConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "tiny": {"strings": 300, "length": 8, "symbols": 16},
        "paper": {"strings": 100_000, "length": 64, "symbols": 2048},  # Morris et al. 2025, section 3
    }

    @cached_property
    def vocabulary(self) -> Sequence[str]:
        """`<s>`, then the symbols `s1 s2 ...`."""
        return ["<s>", *(f"s{i}" for i in range(1, self.config.symbols + 1))]

    @property
    def separator(self) -> int:
        return 0

    @property
    def population(self) -> int:
        """Each string once."""
        return self.config.strings

    @property
    def max_length(self) -> int:
        return 1 + self.config.length

    @cached_property
    def used_tokens(self) -> int:
        """The separator and the symbols that occur."""
        return 1 + len(np.unique(self._strings))

    @property
    def axes(self) -> Sequence[Axis]:
        return (
            Axis("strings", "amount", "strings to memorise"),
            Axis("length", "difficulty", "symbols in a string", (8, 16)),
            Axis("symbols", "format", "symbols that strings are made of"),
        )

    def floor(self) -> float:
        """ln N: which string comes can't be known, all else can."""
        return log(self.config.strings)

    def surprisal(self, instances: Instances) -> NDArray[np.float64]:
        return np.full(len(instances), self.floor())

    @property
    def string_length(self) -> int:
        return self.config.length

    @property
    def string_bits(self) -> float:
        """Information in a string that is known to be a string, in bits: L·log₂V."""
        return self.config.length * log2(self.config.symbols)

    @property
    def memorisable_bits(self) -> float:
        """The most that can be memorised, in bits."""
        return self.config.strings * (self.string_bits - log2(self.config.strings))

    @cached_property
    def _strings(self) -> NDArray[np.int32]:
        """int32 [N, L], symbols from 0."""
        c = self.config
        return randomness.distinct_strings(randomness.key("strings", c.seed), c.strings, c.length, c.symbols)

    def facts(self) -> Mapping[str, NDArray[Any]]:
        """`strings` int32 [N, L], symbols from 0."""
        return {"strings": self._strings}

    def sample(self, stream: Stream, indices: NDArray[np.int64]) -> Instances:
        """Strings at these positions: each exposure is a fresh shuffle. Label `string`: its number, on all tokens."""
        c = self.config
        exposure, slot = np.divmod(indices, c.strings)
        which = randomness.places(stream.key("strings", "shuffle", c.seed), exposure, c.strings, slot)
        tokens = np.zeros((len(indices), self.max_length), np.int32)
        tokens[:, 1:] = 1 + self._strings[which]
        return Instances(
            tokens=tokens.reshape(-1),
            offsets=np.arange(len(indices) + 1, dtype=np.int64) * self.max_length,
            loss=np.ones(tokens.size, np.bool_),
            labels={"string": np.repeat(which.astype(np.int32), self.max_length)},
        )
