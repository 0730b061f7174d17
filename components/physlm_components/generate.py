"""The component `generate`."""

from kfp import dsl

from physlm_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def generate(store: str, experiment_key: str) -> None:
    """Write the experiment's worlds to the store: the facts that its synthetic languages speak of.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_key: Key of the experiment in the store, as `plan` gives it.
    """
    from physlm import steps
    from physlm_components.running import opened

    with opened(store, experiment_key) as (objects, experiment, on_event):
        steps.generate(objects, experiment, on_event)
