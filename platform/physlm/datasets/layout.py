"""Where worlds and data sets are kept in the store; see `physlm.datasets`."""

from __future__ import annotations

from physlm.tasks.task import Stream


def world_prefix(world_id: str) -> str:
    """Where everything of a world is."""
    return f"worlds/{world_id}"


def facts_key(world_id: str) -> str:
    """Key of the hidden facts."""
    return f"{world_prefix(world_id)}/facts.safetensors"


def vocabulary_key(world_id: str) -> str:
    """Key of the words by token, a JSON list."""
    return f"{world_prefix(world_id)}/vocabulary.json"


def evaluation_key(world_id: str, name: str) -> str:
    """Key of an evaluation set."""
    return f"{world_prefix(world_id)}/evaluations/{name}.parquet"


def world_card_key(world_id: str) -> str:
    """Key of the world's card, which is written last."""
    return f"{world_prefix(world_id)}/card.json"


def stream_prefix(world_id: str, stream: Stream) -> str:
    """Where the stored instances of a stream are."""
    return f"{world_prefix(world_id)}/streams/{stream.split}-{stream.seed}"


def shards_prefix(world_id: str, stream: Stream) -> str:
    """Prefix of the keys of a stream's shards, which data sets of it share."""
    return f"{stream_prefix(world_id, stream)}/shards/"


def dataset_prefix(world_id: str, stream: Stream, amount: str) -> str:
    """Where a data set's cards are; `amount` is as in `instances-1000`."""
    return f"{stream_prefix(world_id, stream)}/{amount}"
