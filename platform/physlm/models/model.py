"""The Model contract: an architecture's knobs and its exact counts, without torch.

`physlm.models.decoder` builds the torch module of a config; `physlm plan` needs only what is here.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from physlm.registry import Registry


class ModelConfig(BaseModel):
    """Knobs of an architecture. Two configs that build modules of one shape may train in one cohort."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: ClassVar[int] = 1  # raise it when an unchanged config computes something else: runs are keyed by it

    type: str
    layers: int = Field(2, ge=1, le=512, description="blocks")
    heads: int = Field(2, ge=1, le=1024, description="attention heads of a block")
    width: int = Field(32, ge=4, le=65_536, description="hidden dimension")

    @abstractmethod
    def body_parameters(self) -> int:
        """Parameters without the token embedding and the output layer, tied to it or not."""

    @abstractmethod
    def parameters(self, rows: int) -> int:
        """Parameters with `rows` embedding rows: all rows of the vocabulary, or only those in use."""

    @abstractmethod
    def flops_per_token(self, vocabulary: int, context: int) -> int:
        """Floating-point operations of a forward pass per token, 2 for a multiply-add, in windows of `context`."""

    @abstractmethod
    def activations_per_token(self, vocabulary: int, context: int) -> int:
        """Numbers that a training step keeps for its backward pass, per token; an estimate."""

    @abstractmethod
    def cache_numbers(self, context: int) -> int:
        """Numbers that generation keeps of one sequence of `context` tokens."""

    @property
    def causal(self) -> bool:
        """Whether no position sees a later one: such a model learns the next token, any other one hidden tokens."""
        return True

    @property
    def longest_context(self) -> int | None:
        """Most tokens of a window that the model has positions for; None where there is no limit."""
        return None


registry: Registry[type[ModelConfig]] = Registry(
    "model",
    "physlm.models",
    lambda cls: str(cls.model_fields["type"].default),
    without=("decoder", "generation", "hidden_states"),
)
register = registry.register


def parse(value: Mapping[str, Any]) -> ModelConfig:
    """The config of a mapping with a known `type`."""
    return registry[value["type"]].model_validate(dict(value))
