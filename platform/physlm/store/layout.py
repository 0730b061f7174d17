"""Every key of a store, in one place. No other file puts a key together (`tests/store/test_layout.py` sees to it).

    runs/<run_id>/
        run.json                                        what the run is, and what made it
        checkpoints/<tokens>/
            state.safetensors                           a point to go on from
            sharded/<file>, clock.json                  such a point from several ranks; the clock is written last
            model.safetensors                           the trained model
        observations/<source>.parquet                   rows of one source, such as the learning curve
        trained.json                                    written last: the run is complete
    observations/<source>/
        <digest>.parquet                                rows of runs that were observed together
        <digest>.<digest of the runs>.json              which runs they are; written last, makes it count
    worlds/<world_id>/
        facts.safetensors                               the hidden facts, where there are any
        vocabulary.json                                 the words by token, a JSON list
        evaluations/<name>.parquet                      questions with their answers and truths
        card.json, card.md                              what the world is; written last
        streams/<split>-<seed>/
            shards/<first>-<stop>.safetensors           tokens of a part of the stream
            shards/<first>-<stop>.labels.safetensors    the truths of their tokens
            shards/<first>-<stop>.json                  what the shard is; written last
            <amount>/card.json, card.md                 a data set: so much of the stream
    experiments/<name>/<experiment_id>/
        experiment.yaml, plan.json                      the file, and what it would run
        shards/<digest>.json, jobs/<digest>.json        what each process has to train, to observe
        observations.parquet, sweep.json                the collected table, and what a sweep has chosen
        laws/<law>.json                                 a law's fit, or why it can't be fitted
        laws/<law>-conventions.json, <law>-groups.json  the same under other conventions, and for each group
        figures/<file>, report.html                     the page
        <file>                                          what a step of one's own writes (`result_key`)
    laws/<law>/<id>.json                                a piece of evidence about a law
    preregistrations/<name>/<experiment_id>/
        registration.json, <law>-score.json             what was frozen before its test, and how it came out

Numbers are padded with zeros (tokens to 15 digits, places in a stream to 12), so that keys sort by progress. A prefix,
for `Store.list`, ends with a slash; a folder, which keys are made from, doesn't. Names that begin with a dot are the
stores' own: a local one has `.tmp`, and `.<file>.sha256` beside each object.
"""

from __future__ import annotations

# A run, by its id


def run_prefix(run_id: str) -> str:
    """Prefix of all that is stored of a run; none of it before it has started."""
    return f"runs/{run_id}/"


def run_key(run_id: str) -> str:
    """Key of what the run is."""
    return f"{run_prefix(run_id)}run.json"


def completed_key(run_id: str) -> str:
    """Key of the marker that is written last."""
    return f"{run_prefix(run_id)}trained.json"


def checkpoints_prefix(run_id: str) -> str:
    """Prefix of all checkpoints of a run."""
    return f"{run_prefix(run_id)}checkpoints/"


def state_key(run_id: str, tokens: int) -> str:
    """Key of the point to go on from after so many tokens."""
    return f"{checkpoints_prefix(run_id)}{tokens:015d}/state.safetensors"


def model_key(run_id: str, tokens: int) -> str:
    """Key of the model after so many tokens."""
    return f"{checkpoints_prefix(run_id)}{tokens:015d}/model.safetensors"


def sharded_prefix(run_id: str, tokens: int) -> str:
    """Prefix of the files that several ranks wrote after so many tokens."""
    return f"{checkpoints_prefix(run_id)}{tokens:015d}/sharded/"


def sharded_key(run_id: str, tokens: int, file: str) -> str:
    """Key of one of these files."""
    return f"{sharded_prefix(run_id, tokens)}{file}"


def sharded_clock_key(run_id: str, tokens: int) -> str:
    """Key of the clock that makes these files count."""
    return sharded_key(run_id, tokens, "clock.json")


def is_state(key: str) -> bool:
    """Whether the key of a checkpoint is that of a point to go on from."""
    return key.endswith("/state.safetensors")


def is_sharded(key: str) -> bool:
    """Whether the key of a checkpoint is that of a file that one of several ranks wrote."""
    return "/sharded/" in key


def is_sharded_clock(key: str) -> bool:
    """Whether the key of a checkpoint is that of a clock."""
    return is_sharded(key) and key.endswith("/clock.json")


def run_observations_key(run_id: str, source: str) -> str:
    """Key of the observations of one run from one source."""
    return f"{run_prefix(run_id)}observations/{source}.parquet"


# Observations of many runs, by their source


def batches_prefix(source: str) -> str:
    """Prefix of the batches of a source."""
    return f"observations/{source}/"


def batch_key(source: str, digest: str) -> str:
    """Key of a batch's rows. digest: of the file."""
    return f"{batches_prefix(source)}{digest}.parquet"


def batch_index_key(source: str, digest: str, runs_digest: str) -> str:
    """Key of the list of a batch's runs. runs_digest: of that list, since batches without rows are alike."""
    return f"{batches_prefix(source)}{digest}.{runs_digest}.json"


def batch_of_index(key: str) -> str | None:
    """Key of the batch whose index this is; None if it is no index."""
    return f"{key.rsplit('.', 2)[0]}.parquet" if key.endswith(".json") else None


# A world, by its id, and the streams and data sets of its language


def world_folder(world_id: str) -> str:
    """Where everything of a world is."""
    return f"worlds/{world_id}"


def facts_key(world_id: str) -> str:
    """Key of the hidden facts."""
    return f"{world_folder(world_id)}/facts.safetensors"


def vocabulary_key(world_id: str) -> str:
    """Key of the words by token, a JSON list."""
    return f"{world_folder(world_id)}/vocabulary.json"


def evaluation_key(world_id: str, name: str) -> str:
    """Key of an evaluation set."""
    return f"{world_folder(world_id)}/evaluations/{name}.parquet"


def card_key(folder: str) -> str:
    """Key of the card of a world or a data set, which is written last. folder: where that is."""
    return f"{folder}/card.json"


def card_text_key(folder: str) -> str:
    """Key of the same card for people."""
    return f"{folder}/card.md"


def world_card_key(world_id: str) -> str:
    """Key of the world's card."""
    return card_key(world_folder(world_id))


def world_card_text_key(world_id: str) -> str:
    """Key of the world's card for people."""
    return card_text_key(world_folder(world_id))


def stream_folder(world_id: str, split: str, seed: int) -> str:
    """Where the stored instances of a stream are."""
    return f"{world_folder(world_id)}/streams/{split}-{seed}"


def dataset_folder(world_id: str, split: str, seed: int, amount: str) -> str:
    """Where a data set's cards are; `amount` is as in `instances-1000`."""
    return f"{stream_folder(world_id, split, seed)}/{amount}"


def shards_prefix(world_id: str, split: str, seed: int) -> str:
    """Prefix of the keys of a stream's shards, which data sets of it share."""
    return f"{stream_folder(world_id, split, seed)}/shards/"


def shards_of_dataset(folder: str) -> str:
    """The same, from where the cards of one of its data sets are."""
    return f"{folder.rpartition('/')[0]}/shards/"


def shard_file(first: int, stop: int, kind: str) -> str:
    """Name, below the shards' prefix, of a shard's file: `safetensors`, `labels.safetensors` or `json`, its marker."""
    return f"{first:012d}-{stop:012d}.{kind}"


# An experiment, by its folder


def experiment_folder(name: str, experiment_id: str) -> str:
    """Where an experiment's own results are."""
    return f"experiments/{name}/{experiment_id}"


def experiment_file_key(experiment: str) -> str:
    """Key of the experiment file as it was written."""
    return f"{experiment}/experiment.yaml"


def plan_key(experiment: str) -> str:
    """Key of what the experiment would run."""
    return f"{experiment}/plan.json"


def training_manifest_key(experiment: str, digest: str) -> str:
    """Key of the runs that each training process has to train. digest: of the manifest."""
    return f"{experiment}/shards/{digest}.json"


def evaluation_manifest_key(experiment: str, digest: str) -> str:
    """Key of the jobs that each observing process has to do. digest: of the manifest."""
    return f"{experiment}/jobs/{digest}.json"


def observations_key(experiment: str) -> str:
    """Key of the collected table of its runs."""
    return f"{experiment}/observations.parquet"


def sweep_key(experiment: str) -> str:
    """Key of what a sweep has chosen for each condition."""
    return f"{experiment}/sweep.json"


def law_key(experiment: str, law: str) -> str:
    """Key of the fit of a law, or of why it can't be fitted."""
    return f"{experiment}/laws/{law}.json"


def conventions_key(experiment: str, law: str) -> str:
    """Key of the fits of a law under other conventions."""
    return f"{experiment}/laws/{law}-conventions.json"


def groups_key(experiment: str, law: str) -> str:
    """Key of pooled against separate fits of a law."""
    return f"{experiment}/laws/{law}-groups.json"


def figure_key(experiment: str, file: str) -> str:
    """Key of a figure of the page."""
    return f"{experiment}/figures/{file}"


def report_key(experiment: str) -> str:
    """Key of the page."""
    return f"{experiment}/report.html"


def result_key(experiment: str, file: str) -> str:
    """Key of a further result of the experiment, by the name of its file, such as `observations.csv`."""
    return f"{experiment}/{file}"


# Laws: evidence, and what was registered before its test


def evidence_prefix() -> str:
    """Prefix of the evidence about all laws."""
    return "laws/"


def evidence_key(law: str, identity: str) -> str:
    """Key of a piece of evidence about a law."""
    return f"{evidence_prefix()}{law}/{identity}.json"


def registration_key(name: str, experiment_id: str) -> str:
    """Key of an experiment's registration."""
    return f"preregistrations/{name}/{experiment_id}/registration.json"


def score_key(name: str, experiment_id: str, law: str) -> str:
    """Key of the score of a registered law."""
    return f"preregistrations/{name}/{experiment_id}/{law}-score.json"
