"""The Part contract: what mixers and MLPs have in common. Each is one file that holds all that is known of the part.

    knobs      `config_type`, a pydantic model of what may be set of it in an experiment file
    check      which settings make no model, and why
    counts     parameters, FLOPs per token, numbers kept for the backward pass, numbers cached
    draws      how its parameters are drawn before training
    forward    what it computes, from the tokens alone or going on from a cache

Plans are made of knobs and counts where there is no torch, so a part's file imports torch inside its methods only. A
part is a `torch.nn.Module` as soon as one is made: `Part.__new__` puts Module behind the class then.

A part maps x [M, batch·T, d] to the same shape. Given a cache, its T tokens follow those that the cache remembers.
Parameters have the member dimension first. Those named `...gain` start at 1 and `...bias` at 0, and neither decays;
what starts otherwise is in `draws`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache as once
from types import MappingProxyType, new_class
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from physlm.models.block import BlockConfig
from physlm.models.counts import Counts
from physlm.models.parts.draws import Draw

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from physlm.models.parts.cache import Cache
else:

    class Module:
        """Torch's Module stands behind it in the classes of parts that are made."""


ConfigT = TypeVar("ConfigT", bound=BlockConfig)


class Part(Module, ABC, Generic[ConfigT]):
    """Base of mixers and MLPs; made as `Part(config, members)`.

    name         what experiment files call it
    config_type  its knobs: a subclass of BlockConfig, or BlockConfig itself if it has none of its own. Every
                 architecture has the knobs of all parts, so no two parts may define one of the same name
    examples     knobs, beside the defaults, that the contract tests try: every way that the part can work
    """

    name: ClassVar[str]
    config_type: ClassVar[type[BlockConfig]] = BlockConfig
    examples: ClassVar[Sequence[Mapping[str, Any]]] = ()
    draws: Mapping[str, Draw] = MappingProxyType({})

    def __new__(cls, *_: Any, **__: Any) -> Self:
        made: Self = object.__new__(_module_type(cls))
        return made

    def __init__(self, config: ConfigT, members: int) -> None:
        super().__init__()

    @classmethod
    def check(cls, config: ConfigT) -> None:
        """Raise ValueError if these knobs make no such part: '<knob>: <what is wrong>; <what would be right>'."""

    @classmethod
    @abstractmethod
    def counts(cls, config: ConfigT, context: int) -> Counts:
        """What the part of one block needs in windows of `context` tokens."""

    @abstractmethod
    def forward(self, x: Tensor, batch: int, cache: Cache | None = None) -> Tensor:
        """x [M, batch·T, d] -> [M, batch·T, d]."""

    def excess_flops(self, batch: int, context: int) -> float:
        """FLOPs per token of the last pass' matrix products beyond those of `counts`, less those that it lacks.

        Products that are masked or of whole chunks are more than the definition has; a recurrence that is computed
        without matrix products is less. The contract test compares the sum with what torch counts.
        """
        return 0.0

    def set_loss_scale(self, scale: float) -> None:
        """Weigh losses of the part's own, in the passes to come, by the share of a step's batch that a pass has."""


@once
def _module_type(cls: type[Any]) -> type[Any]:
    """The class with torch's Module behind it."""
    from torch import nn

    if issubclass(cls, nn.Module):
        return cls
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__doc__": cls.__doc__}
    return new_class(cls.__name__, (cls, nn.Module), exec_body=lambda namespace: namespace.update(names))
