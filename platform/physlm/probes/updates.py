"""Knobs of the probes that may change what the embedding says (P, Q and V): how long they are trained, on how much."""

from __future__ import annotations

from pydantic import Field

from physlm.probes.probe import ProbeConfig


class UpdateConfig(ProbeConfig):
    """A low-rank update of the embedding, trained by AdamW at a rate that falls linearly to 0."""

    rank: int = Field(8, ge=1, le=1024, description="of the embedding's update")
    instances: int = Field(600, ge=30, le=1_000_000, description="that texts are made of: a third is for testing")
    steps: int = Field(200, ge=1, le=1_000_000, description="of training")
    batch: int = Field(32, ge=1, le=65_536, description="texts in a step")
    rate: float = Field(0.02, gt=0, le=10, description="learning rate of the first step")
    weight_decay: float = Field(0.01, ge=0, le=10, description="of AdamW")


class QuestionConfig(UpdateConfig):
    """The same for texts that end with a question."""

    instances: int = Field(2000, ge=30, le=1_000_000, description="that are asked about: a third is for testing")
    steps: int = Field(600, ge=1, le=1_000_000, description="of training")
    questions: int = Field(6000, ge=30, le=10_000_000, description="most texts of each kind of question")
