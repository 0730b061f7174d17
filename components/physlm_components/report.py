"""The component `report`."""

from kfp import dsl

from physlm_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(store: str, experiment_key: str, page: dsl.Output[dsl.HTML]) -> None:
    """Make the experiment's page with its figures, from what is stored.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_key: Key of the experiment in the store, as `plan` gives it.
        page: The page, as it is in the store.
    """
    from pathlib import Path

    from physlm import steps
    from physlm_components.running import opened

    with opened(store, experiment_key) as (objects, experiment, on_event):
        Path(page.path).write_bytes(objects.get(steps.report(objects, experiment, on_event)))
