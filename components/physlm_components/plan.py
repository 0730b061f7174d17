"""The component `plan`."""

from kfp import dsl

from physlm_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def plan(store: str, experiment_file: str) -> str:
    """Check an experiment as a whole, and write its file and its plan to the store.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_file: Text of the experiment file (YAML), at most 10,000 bytes.

    Returns:
        Key of the experiment in the store, which the other components take.
    """
    from physlm import experiment, steps
    from physlm.store import open_store
    from physlm_components.running import running

    with running() as on_event:
        parsed = experiment.parse(experiment_file, steps.known_names())
        steps.plan(open_store(store), parsed, on_event)
    return parsed.key
