"""The component `collect`."""

from kfp import dsl

from physlm_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def collect(store: str, experiment_key: str) -> None:
    """Gather the experiment's observations into one table in the store.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_key: Key of the experiment in the store, as `plan` gives it.
    """
    from physlm import steps
    from physlm_components.running import opened

    with opened(store, experiment_key) as (objects, experiment, on_event):
        steps.collect(objects, experiment, on_event)
