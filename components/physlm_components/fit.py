"""The component `fit`."""

from kfp import dsl

from physlm_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fit(store: str, experiment_key: str, estimates: dsl.Output[dsl.Metrics], summary: dsl.Output[dsl.Markdown]) -> None:
    """Fit the experiment's laws to its observations, and test them on what is held out.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_key: Key of the experiment in the store, as `plan` gives it.
        estimates: The laws' parameters and their error on what is held out.
        summary: The laws in words, with intervals.
    """
    from pathlib import Path

    from physlm import steps
    from physlm_components.running import opened

    with opened(store, experiment_key) as (objects, experiment, on_event):
        fits = steps.fit(objects, experiment, on_event)
        for law in fits:
            for estimate in (*law.estimates, *law.derived):
                estimates.log_metric(f"{law.law}.{estimate.name}", estimate.value)
            if law.heldout_error_ratio is not None:
                estimates.log_metric(f"{law.law}.heldout_error_ratio", law.heldout_error_ratio)
        _, reasons = steps.fitted(objects, experiment)
        refused = [f"{law} can't be fitted: {reason}" for law, reason in reasons.items()]
        text = "\n\n".join([law.summary() for law in fits] + refused) or "No laws were asked for."
        Path(summary.path).write_text(f"```\n{text}\n```\n")
