"""How a run is trained, as it stands in the experiment file; torch-free."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

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
    """Learning rate over the budget, as a share of its peak: a linear warm-up, and then by type

    cosine   half a cosine from 1 to `final`
    linear   a straight line from 1 to `final`
    wsd      1, and over the last `decay` of the budget a straight line to `final` (warm-up, stable, decay: Hu et al.
             2024, MiniCPM, section 4). Runs that differ in their budget share the stable part, which is trained once,
             if the warm-up doesn't depend on the budget: none, or counted in steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["cosine", "linear", "wsd"] = "cosine"
    warmup: float = Field(0.02, ge=0, lt=1, description="share of the budget in warm-up")
    warmup_steps: int | None = Field(None, ge=0, le=10**9, description="optimiser steps in warm-up, not a share")
    final: float = Field(0.1, ge=0, le=1, description="last learning rate as a share of the peak")
    decay: float = Field(0.2, gt=0, le=1, description="share of the budget in decay, with wsd")

    @model_validator(mode="after")
    def _makes_sense(self) -> ScheduleConfig:
        if self.warmup_steps is not None and "warmup" in self.model_fields_set:
            raise ValueError("warmup_steps: give either warmup or warmup_steps, not both")
        if "decay" in self.model_fields_set and self.type != "wsd":
            raise ValueError(f"decay: is a knob of the schedule wsd, not of {self.type}")
        if self.type == "wsd" and self.warmup_steps is None and self.warmup + self.decay > 1:
            raise ValueError(f"decay: {self.decay} and warmup {self.warmup} are more than the whole budget")
        return self


class MixConfig(BaseModel):
    """Another task's stream in the training data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: dict[str, Any] = Field(description="knobs that differ from the experiment's task; all, if its type differs")
    share: float = Field(gt=0, lt=1, description="share of the windows or instances")


class LoraConfig(BaseModel):
    """Low-rank updates of frozen weights (Hu et al. 2021): W + alpha / rank · A·B, trained in place of W."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(8, ge=1, le=4096, description="rank of the updates of queries and values")
    embedding_rank: int = Field(128, ge=0, le=4096, description="rank of the embedding's update; 0 leaves it frozen")
    alpha: float = Field(4.0, gt=0, description="scale of the updates, before it is divided by their rank")


class StartConfig(BaseModel):
    """Another run to go on from (fine-tuning): the same model and seed, trained to its end before."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: dict[str, Any] = Field({}, description="knobs of its task that differ from the experiment's")
    training: dict[str, Any] = Field(description="its section 'training'")
    lora: LoraConfig | None = Field(None, description="train low-rank updates alone; all weights if not given")


class TrainingConfig(BaseModel):
    """One run's training; its budget is counted in exposures (of a world) or tokens (of endless data), not in steps."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    version: ClassVar[int] = 1  # raise it when an unchanged config trains otherwise: runs are keyed by it

    exposures: int | None = Field(None, ge=1, le=10**6, description="times that each fact is shown")
    tokens: int | None = Field(None, ge=1, le=10**13, description="training tokens, for tasks with endless data")
    batch_size: int = Field(32, ge=1, le=65_536, description="windows in a step")
    context_length: int | None = Field(
        None,
        ge=2,
        le=1_048_576,
        description="tokens in a window; the longest instance's if not given. Where an instance ends "
        "is learnt only where another follows in its window",
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    mix: dict[str, MixConfig] = Field(
        {}, max_length=16, description="streams beside the task's own, by name; exposures count the task's own alone"
    )
    mask_share: float = Field(
        0.15, gt=0, lt=1, description="share of the tokens trained on that are hidden from an encoder, which tells them"
    )
    mix_by: Literal["window", "instance"] = Field("window", description="whether a window holds one stream or several")

    start: StartConfig | None = Field(None, description="the run to go on from; a new model if not given")

    @property
    def lora(self) -> LoraConfig | None:
        """The low-rank updates that are trained; None if all weights are."""
        return self.start.lora if self.start else None

    @property
    def own_share(self) -> float:
        """Share of the windows or instances that are the task's own."""
        return 1 - sum(stream.share for stream in self.mix.values())

    @model_validator(mode="after")
    def _one_budget(self) -> TrainingConfig:
        if self.exposures is not None and self.tokens is not None:
            raise ValueError("tokens: give either exposures or tokens, not both")
        if (total := sum(stream.share for stream in self.mix.values())) >= 1:
            raise ValueError(f"mix: the shares add up to {total:g}, which leaves nothing for the task itself")
        return self


CURVE_SOURCE = f"train-v{TrainingConfig.version}"
"""Source of the observations that training itself makes: learning curves."""

CURVE_MEASURE = "training_loss"
"""What they are observations of."""
