"""Where a run's training is kept in the store; torch-free.

    runs/<run_id>/run.json                                  what the run is, and what made it
    runs/<run_id>/checkpoints/<tokens>/state.safetensors    a point to go on from
    runs/<run_id>/checkpoints/<tokens>/sharded/...          such a point from several ranks; clock.json is written last
    runs/<run_id>/checkpoints/<tokens>/model.safetensors    the trained model
    runs/<run_id>/observations/<CURVE_SOURCE>.parquet       the learning curve
    runs/<run_id>/trained.json                              written last: the run is complete

Tokens are written with 15 digits, so that keys sort by progress.
"""

from __future__ import annotations

from physlm.training.config import TrainingConfig

CURVE_SOURCE = f"train-v{TrainingConfig.version}"


def run_key(run_id: str) -> str:
    """Key of what the run is."""
    return f"runs/{run_id}/run.json"


def checkpoints_prefix(run_id: str) -> str:
    """Prefix of all checkpoints of a run."""
    return f"runs/{run_id}/checkpoints/"


def state_key(run_id: str, tokens: int) -> str:
    """Key of the point to go on from after so many tokens."""
    return f"{checkpoints_prefix(run_id)}{tokens:015d}/state.safetensors"


def sharded_prefix(run_id: str, tokens: int) -> str:
    """Prefix of the files that several ranks wrote after so many tokens."""
    return f"{checkpoints_prefix(run_id)}{tokens:015d}/sharded/"


def sharded_clock_key(run_id: str, tokens: int) -> str:
    """Key of the clock that makes these files count."""
    return f"{sharded_prefix(run_id, tokens)}clock.json"


def model_key(run_id: str, tokens: int) -> str:
    """Key of the model after so many tokens."""
    return f"{checkpoints_prefix(run_id)}{tokens:015d}/model.safetensors"


def completed_key(run_id: str) -> str:
    """Key of the marker that is written last."""
    return f"runs/{run_id}/trained.json"
