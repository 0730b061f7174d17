"""Learning rates over a run's budget; torch-free."""

from __future__ import annotations

import math

from physlm.training.config import ScheduleConfig


def lr_factor(config: ScheduleConfig, progress: float, steps: int) -> float:
    """Learning rate of the next step as a share of its peak.

    progress: share of the budget that is spent, 0 to 1. steps: optimiser steps taken.
    A warm-up counted in steps multiplies the schedule of the whole budget; one that is a share of the budget precedes
    it.
    """
    warmup, rise = config.warmup, 1.0
    if config.warmup_steps is not None:
        warmup = 0.0
        rise = min(1.0, (steps + 1) / config.warmup_steps) if config.warmup_steps else 1.0
    elif progress < warmup:
        return progress / warmup
    start = 1 - config.decay if config.type == "wsd" else warmup
    spent = min(1.0, max(0.0, progress - start) / (1 - start))
    left = 0.5 * (1 + math.cos(math.pi * spent)) if config.type == "cosine" else 1 - spent
    return rise * (config.final + (1 - config.final) * left)


def is_shared(config: ScheduleConfig, progress: float) -> bool:
    """Whether the next step is the same for runs of any budget, here in the trunk of their branches."""
    return has_trunk(config) and progress < 1 - config.decay


def has_trunk(config: ScheduleConfig) -> bool:
    """Whether a run begins like one of another budget: before its decay nothing depends on the budget."""
    return config.type == "wsd" and (config.warmup_steps is not None or config.warmup == 0)
