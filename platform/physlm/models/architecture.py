"""The knobs that put a decoder together from parts, and its counts as the sum of theirs; torch-free.

An architecture is a class of defaults for these knobs with a name of its own, in one file: `gpt2`, `llama`, `gla`, ...
Every knob of every architecture may be set and varied, so a variant needs no class.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from physlm.models import counts
from physlm.models.model import ModelConfig

Mixer = Literal["attention", "uniform", "positional", "gla", "mamba2", "gdn"]
Positions = Literal["rotary", "none", "absolute", "relative"]
Mlp = Literal["gelu", "gated", "experts", "none"]
Norm = Literal["layer", "rms"]

RECURRENT = ("gla", "mamba2", "gdn")
# Knobs that mean something only with certain values of another: {knob: (other, values)}.
_CONDITIONS = {
    "rotary_share": ("positions", ("rotary",)),
    "group_size": ("mixer", ("attention",)),
    "window": ("mixer", ("attention",)),
    "state": ("mixer", RECURRENT),
    "expand": ("mixer", RECURRENT),
    "short_conv": ("mixer", RECURRENT),
    "mlp_size": ("mlp", ("gelu", "gated", "experts")),
    "experts": ("mlp", ("experts",)),
    "top_k": ("mlp", ("experts",)),
    "capacity": ("mlp", ("experts",)),
    "balance": ("mlp", ("experts",)),
}


class DecoderConfig(ModelConfig):
    """What the blocks x + mixer(norm(x)), x + mlp(norm(x)) are made of."""

    mixer: Mixer = Field("attention", description="what moves information between tokens")
    positions: Positions = Field("rotary", description="how attention knows of positions")
    rotary_share: float = Field(1.0, gt=0, le=1, description="share of each head that rotary positions turn")
    distances: int = Field(
        512, ge=2, le=1_048_576, description="positions of `absolute`; distances told apart by `relative`, `positional`"
    )
    group_size: int = Field(1, ge=1, le=1024, description="query heads that share a head of keys and values")
    window: int | None = Field(
        None, ge=2, le=1_048_576, description="latest tokens that attention sees; all if not given"
    )
    state: int | None = Field(None, ge=1, le=4096, description="key size of a recurrent head")
    expand: float | None = Field(
        None, gt=0, le=16, description="values of all recurrent heads together, over the width"
    )
    short_conv: bool = Field(True, description="whether a recurrence sees a short convolution of its inputs")
    mlp: Mlp = Field("gelu", description="feed-forward layer")
    mlp_size: float = Field(1.0, gt=0, le=16, description="its hidden size over the usual: 4 widths, gated 8/3 widths")
    experts: int = Field(8, ge=2, le=4096, description="experts of a mixture")
    top_k: int = Field(1, ge=1, le=64, description="experts that a token is sent to")
    capacity: float = Field(
        2.0, gt=0, le=64, description="tokens that an expert takes in training, over its fair share"
    )
    balance: float = Field(0.01, ge=0, le=10, description="weight of the loss that evens out the experts' load")
    norm: Norm = Field("layer", description="layer norm or root-mean-square norm")
    canon: str = Field("", pattern="^A?B?C?D?$", description="Canon layers, such as AC or ABCD")
    bias: bool = Field(True, description="whether linear maps and layer norms have biases")
    tied: bool = Field(True, description="whether the output layer is the token embedding")
    bidirectional: bool = Field(False, description="whether every token sees all others: an encoder")

    @model_validator(mode="after")
    def _fits_together(self) -> DecoderConfig:
        for knob, (other, values) in _CONDITIONS.items():
            if getattr(self, knob) != type(self).model_fields[knob].default and getattr(self, other) not in values:
                raise ValueError(
                    f"{knob}: {getattr(self, knob)!r} means nothing with {other} {getattr(self, other)!r}; "
                    f"leave it out, or choose {other} {' or '.join(values)}"
                )
        for check in (self._check_heads, self._check_positions, self._check_canon):
            check()
        if self.top_k > self.experts:
            raise ValueError(f"top_k: {self.top_k} is more than the {self.experts} experts")
        if self.bidirectional and (self.mixer != "attention" or self.canon or self.window):
            part = "a Canon layer" if self.canon else "a window" if self.window else self.mixer
            raise ValueError(
                f"bidirectional: {part} looks back only; choose mixer attention, no Canon layers and no window"
            )
        return self

    def _check_heads(self) -> None:
        if self.mixer in RECURRENT:
            if round(self._expand * self.width) % self.heads or round(self._expand * self.width) < self.heads:
                raise ValueError(
                    f"width: {self._expand:g} x {self.width} values can't be split into {self.heads} heads; "
                    f"use a multiple of {self.heads}"
                )
        elif self.positions == "rotary" and self.mixer == "attention" and self.width % (2 * self.heads):
            raise ValueError(
                f"width: {self.width} can't be split into {self.heads} heads of even size (rotary positions turn "
                f"pairs); use a multiple of {2 * self.heads}"
            )
        elif self.width % self.heads:
            raise ValueError(
                f"width: {self.width} can't be split into {self.heads} heads; use a multiple of {self.heads}"
            )
        if self.heads % self.group_size:
            raise ValueError(f"group_size: {self.heads} heads can't be split into groups of {self.group_size}")

    def _check_positions(self) -> None:
        if self.mixer != "attention" and self.positions in ("rotary", "relative"):
            raise ValueError(
                f"positions: {self.positions!r} belongs to attention, not to {self.mixer}; choose 'none' or 'absolute'"
            )
        if self.distances != 512 and self.positions not in ("absolute", "relative") and self.mixer != "positional":
            raise ValueError(
                f"distances: {self.distances} means nothing with positions {self.positions!r}; leave it out, or choose "
                "positions absolute or relative"
            )
        if self.mixer == "attention" and self.positions == "rotary" and self.turned < 2:
            raise ValueError(
                f"rotary_share: {self.rotary_share:g} of a head of {self.width // self.heads} is less than a pair"
            )

    def _check_canon(self) -> None:
        for letter in "CD":
            if letter in self.canon and (self.mlp == "none" or (letter == "D" and self.mlp == "experts")):
                raise ValueError(f"canon: there is no place for Canon {letter} with mlp {self.mlp!r}")

    @property
    def causal(self) -> bool:
        return not self.bidirectional

    @property
    def longest_context(self) -> int | None:
        return self.distances if self.positions == "absolute" else None

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads // self.group_size

    @property
    def turned(self) -> int:
        """Dimensions of a head that rotary positions turn: an even number."""
        return 2 * int(self.rotary_share * (self.width // self.heads) / 2 + 1e-9)

    @property
    def hidden(self) -> int:
        """Hidden size of the MLP, of one expert in a mixture."""
        usual = 8 * self.width / 3 if self.mlp == "gated" else 4 * self.width
        return max(1, round(self.mlp_size * usual))

    @property
    def _expand(self) -> float:
        return self.expand or {"gla": 1.0, "mamba2": 2.0, "gdn": 1.5}.get(self.mixer, 1.0)

    @property
    def value_size(self) -> int:
        """Values of a recurrent head."""
        return round(self._expand * self.width) // self.heads

    @property
    def key_size(self) -> int:
        """Keys of a recurrent head: half a value's size (GLA, GDN), or 64 but no more than a value's (Mamba2)."""
        if self.state is not None:
            return self.state
        return min(64, self.value_size) if self.mixer == "mamba2" else max(1, self.value_size // 2)

    def body_parameters(self) -> int:
        places = self.distances * self.width if self.positions == "absolute" else 0
        hidden_token = 0 if self.causal else self.width
        return self.layers * counts.block(self, 1).parameters + counts.norm(self).parameters + places + hidden_token

    def parameters(self, rows: int) -> int:
        return self.body_parameters() + rows * self.width * (1 if self.tied else 2)

    def flops_per_token(self, vocabulary: int, context: int) -> int:
        return self.layers * counts.block(self, context).flops + 2 * self.width * vocabulary

    def activations_per_token(self, vocabulary: int, context: int) -> int:
        return self.layers * counts.block(self, context).kept + 3 * self.width + 2 * vocabulary

    def cache_numbers(self, context: int) -> int:
        return self.layers * counts.block(self, context).cached
