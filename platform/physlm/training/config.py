"""How a run is trained, as it stands in the experiment file; torch-free."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OptimizerConfig(BaseModel):
    """AdamW (Loshchilov and Hutter 2019); weight decay spares gains and biases; gradients are clipped per member."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lr: float = Field(1e-3, gt=0, le=10, description="peak learning rate")
    weight_decay: float = Field(0.01, ge=0, le=10, description="decoupled weight decay, per unit of learning rate")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.99, ge=0, lt=1)
    epsilon: float = Field(1e-6, gt=0)
    clip_norm: float = Field(1.0, gt=0, description="largest gradient norm; larger ones are scaled down to it")


class ScheduleConfig(BaseModel):
    """Learning rate over the budget: linear warm-up, then the cosine from 1 to `final`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["cosine"] = "cosine"
    warmup: float = Field(0.02, ge=0, lt=1, description="share of the budget in warm-up")
    final: float = Field(0.1, ge=0, le=1, description="last learning rate as a share of the peak")


class TrainingConfig(BaseModel):
    """One run's training; its budget is counted in exposures (of a world) or tokens (of endless data), not in steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: ClassVar[int] = 1  # raise it when an unchanged config trains otherwise: runs are keyed by it

    exposures: int | None = Field(None, ge=1, le=10**6, description="times that each fact is shown")
    tokens: int | None = Field(None, ge=1, le=10**13, description="training tokens, for tasks with endless data")
    batch_size: int = Field(32, ge=1, le=65_536, description="windows in a step")
    context_length: int | None = Field(
        None, ge=2, le=1_048_576, description="tokens in a window; the longest instance's if not given"
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingConfig:
        if self.exposures is not None and self.tokens is not None:
            raise ValueError("tokens: give either exposures or tokens, not both")
        return self
