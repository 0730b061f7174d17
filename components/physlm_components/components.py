"""A component for each step.

There are two bodies: of the first step, which is handed the experiment's file and gives the others its key, and of the
others. What makes a component of a step is a copy of the body's spec with the step's name, description and outputs.
"""

from collections.abc import Sequence
from copy import deepcopy

from kfp import dsl
from kfp.dsl.python_component import PythonComponent

from physlm import docstrings
from physlm.steps import Step, in_order
from physlm_components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def begin(store: str, experiment_file: str, step: str) -> str:
    """Do the first step with the text of an experiment file.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_file: Text of the experiment file (YAML), at most 10,000 bytes.
        step: Name of the step.

    Returns:
        Key of the experiment in the store, which the other components take.
    """
    from physlm_components.running import begin_step

    return begin_step(step, store, experiment_file)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def go_on(
    store: str,
    experiment_key: str,
    step: str,
    metrics: dsl.Output[dsl.Metrics],
    summary: dsl.Output[dsl.Markdown],
    page: dsl.Output[dsl.HTML],
) -> None:
    """Do a step with an experiment in the store.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_key: Key of the experiment in the store, as the first step gives it.
        step: Name of the step.
        metrics: Numbers that it has come to.
        summary: What it has come to, in words.
        page: A page that it has made, as it is in the store.
    """
    from physlm_components.running import run_step

    run_step(step, store, experiment_key, metrics, summary, page)


def _of(step: type[Step], body: PythonComponent, outputs: Sequence[str]) -> PythonComponent:
    spec = deepcopy(body.component_spec)
    spec.name = step.name
    spec.description = docstrings.of_class(step)
    spec.inputs["step"].default = step.name
    spec.inputs["step"].optional = True
    spec.outputs = {name: output for name, output in (spec.outputs or {}).items() if name in outputs} or None
    return PythonComponent(spec, body.python_func)


_FIRST, *_OTHERS = in_order()

COMPONENTS = (_of(_FIRST, begin, ["Output"]), *(_of(step, go_on, step.shows) for step in _OTHERS))
"""Of all steps, in their order; the first gives the others the experiment's key."""
