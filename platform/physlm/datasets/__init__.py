"""Languages as stored data: worlds with their evaluation sets, and streams of instances as checksummed token shards.

    worlds/<world_id>/facts.safetensors                      the hidden facts, where there are any
    worlds/<world_id>/vocabulary.json                        the words by token
    worlds/<world_id>/evaluations/<name>.parquet             questions with their answers and truths
    worlds/<world_id>/card.json, card.md                     what the world is; written last
    worlds/<world_id>/streams/<split>-<seed>/shards/...      instances of a stream; see `shards`
    worlds/<world_id>/streams/<split>-<seed>/<amount>/card.json, card.md     a data set: so much of the stream

Everything stored is a function of the task's configuration: of no clock, machine, worker or order of writing. Work that
the store already holds isn't done again.
"""

from physlm.datasets.evaluations import read_evaluation
from physlm.datasets.online import online
from physlm.datasets.reading import DataSet, open_dataset
from physlm.datasets.worlds import write_world
from physlm.datasets.writing import write_dataset

__all__ = ["DataSet", "online", "open_dataset", "read_evaluation", "write_dataset", "write_world"]
