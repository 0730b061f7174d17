"""A decoder put together from parts: its knobs are those of all blocks and of every part; its counts the parts' sums.

An architecture is a class of defaults for these knobs with a name of its own, in one file: `gpt2`, `llama`, `gla`, ...
Every knob of every architecture may be set and varied, so a variant needs no class. Torch-free.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, create_model, model_validator
from pydantic.fields import FieldInfo

from physlm.errors import RegistrationError
from physlm.models import counts, mixers, mlps
from physlm.models.block import BlockConfig
from physlm.models.counts import Counts
from physlm.models.mixers.mixer import Mixer
from physlm.models.mlps.mlp import Mlp
from physlm.models.parts.part import Part
from physlm.registry import Registry, nearest

NO_MLP = "none"
PARTS: Mapping[str, Registry[type[Part[Any]]]] = {"mixer": mixers.registry, "mlp": mlps.registry}  # type: ignore[dict-item]
"""The knobs of a decoder that name a part, and the parts that there are."""


def _definer(config_type: type[BaseModel], knob: str) -> type:
    """The class that defines a knob of this config."""
    return next(cls for cls in config_type.__mro__ if knob in inspect.get_annotations(cls))


def config_types(registries: Mapping[str, Registry[type[Part[Any]]]]) -> list[type[BlockConfig]]:
    """The config types of all parts without bases of others. Raises RegistrationError if two define one knob."""
    definers = {knob: (_definer(BlockConfig, knob), "all blocks have") for knob in BlockConfig.model_fields}
    found: dict[type[BlockConfig], None] = {}
    for registry in registries.values():
        for name, part in registry.items():
            found[part.config_type] = None
            where = f"the {registry.noun} {name!r} ({registry.file_of(name)})"
            for knob in part.config_type.model_fields:
                definer = _definer(part.config_type, knob)
                known, others = definers.setdefault(knob, (definer, f"{where} defines too"))
                if known is not definer:
                    raise RegistrationError(
                        f"{where} defines the knob {knob!r}, which {others}; give one of them another name, "
                        "or let both inherit it from one class"
                    )
    return [one for one in found if not any(other is not one and issubclass(other, one) for other in found)]


def own_knobs(part: type[Part[Any]]) -> dict[str, FieldInfo]:
    """The knobs of a part that not every block has."""
    return {
        knob: field for knob, field in part.config_type.model_fields.items() if knob not in BlockConfig.model_fields
    }


def _owners(registries: Mapping[str, Registry[type[Part[Any]]]]) -> dict[str, dict[str, list[str]]]:
    """The parts that have each knob: {knob: {"mixer": names, ...}}."""
    owners: dict[str, dict[str, list[str]]] = {}
    for kind, registry in registries.items():
        for name, part in registry.items():
            for knob in own_knobs(part):
                owners.setdefault(knob, {}).setdefault(kind, []).append(name)
    return owners


if TYPE_CHECKING:
    _Knobs = BlockConfig
else:
    _Knobs = create_model("_Knobs", __base__=tuple(config_types(PARTS)), __module__=__name__)
_OWNERS = _owners(PARTS)


class DecoderConfig(_Knobs):
    """What the blocks x + mixer(norm(x)), x + mlp(norm(x)) are made of: knobs of all blocks, and of every part.

    Knobs of a part that isn't chosen must be left as they are.
    """

    @model_validator(mode="after")
    def _fits_together(self) -> DecoderConfig:
        for kind, registry in PARTS.items():
            name, none = getattr(self, kind), [NO_MLP] if kind == "mlp" else []
            if name not in registry and name not in none:
                raise ValueError(f"{kind}: {name!r} is not known; {nearest(name, [*registry, *none])}")
        for knob, owners in _OWNERS.items():
            value = getattr(self, knob)
            if value != type(self).model_fields[knob].default and not any(
                getattr(self, kind) in names for kind, names in owners.items()
            ):
                kind, names = next(iter(owners.items()))
                raise ValueError(
                    f"{knob}: {value!r} means nothing with {kind} {getattr(self, kind)!r}; "
                    f"leave it out, or choose {kind} {' or '.join(names)}"
                )
        self._check_positions()
        for part in self._parts():
            part.check(self)
        self._check_canon()
        if self.bidirectional and (self.canon or not self._mixer.bidirectional):
            able = [name for name, mixer in mixers.registry.items() if mixer.bidirectional]
            raise ValueError(
                f"bidirectional: {'a Canon layer' if self.canon else self.mixer} looks back only; "
                f"choose mixer {' or '.join(able)}, and no Canon layers"
            )
        return self

    def _check_positions(self) -> None:
        makers = [name for name, mixer in mixers.registry.items() if self.positions in mixer.positions]
        if makers and self.mixer not in makers:
            raise ValueError(
                f"positions: {self.positions!r} belongs to {' and '.join(makers)}, not to {self.mixer}; "
                "choose 'none' or 'absolute'"
            )
        used = self.positions == "absolute" or self._mixer.uses_distances(self)
        if self.distances != type(self).model_fields["distances"].default and not used:
            raise ValueError(
                f"distances: {self.distances} means nothing with positions {self.positions!r}; leave it out, or choose "
                "positions absolute or relative"
            )

    def _check_canon(self) -> None:
        mlp = self._mlp
        for letter in "CD":
            if letter in self.canon and (mlp is None or (letter == "D" and not mlp.has_canon_d)):
                raise ValueError(f"canon: there is no place for Canon {letter} with mlp {self.mlp!r}")

    @property
    def _mixer(self) -> type[Mixer[Any]]:
        return mixers.registry[self.mixer]

    @property
    def _mlp(self) -> type[Mlp[Any]] | None:
        return None if self.mlp == NO_MLP else mlps.registry[self.mlp]

    def _parts(self) -> Sequence[type[Part[Any]]]:
        return [part for part in (self._mixer, self._mlp) if part is not None]

    @property
    def longest_context(self) -> int | None:
        return self.distances if self.positions == "absolute" else None

    def block_counts(self, context: int) -> Counts:
        """Counts of one block: the mixer, then the MLP where there is one, each behind its norm and Canon layer."""
        total = Counts()
        for letter, part in zip("AC", self._parts(), strict=False):
            total += counts.norm(self) + counts.canon(self, letter, self.width) + part.counts(self, context)
        return total

    def body_parameters(self) -> int:
        places = self.distances * self.width if self.positions == "absolute" else 0
        hidden_token = 0 if self.causal else self.width
        return self.layers * self.block_counts(1).parameters + counts.norm(self).parameters + places + hidden_token

    def parameters(self, rows: int) -> int:
        return self.body_parameters() + rows * self.width * (1 if self.tied else 2)

    def flops_per_token(self, vocabulary: int, context: int) -> int:
        return self.layers * self.block_counts(context).flops + 2 * self.width * vocabulary

    def activations_per_token(self, vocabulary: int, context: int) -> int:
        return self.layers * self.block_counts(context).kept + 3 * self.width + 2 * vocabulary

    def cache_numbers(self, context: int) -> int:
        return self.layers * self.block_counts(context).cached


def default(knob: str, value: Any) -> Any:
    """An architecture's own default for a knob; its bounds and its meaning stay as they are.

    class LlamaConfig(DecoderConfig):
        norm: Norm = default("norm", "rms")
    """
    field = copy(DecoderConfig.model_fields[knob])
    field.default = value
    return field
