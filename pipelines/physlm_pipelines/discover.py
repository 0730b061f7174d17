"""The pipeline `discover`: from an experiment file to its laws and its page.

Its tasks are the steps of `physlm.steps`, each after the one before it.

Pods get the addresses of S3 and Prometheus from a ConfigMap, as charts/physlm makes it, and credentials from a Secret
with the keys `accesskey` and `secretkey`, such as Kubeflow Pipelines' own. Both may be missing where pods have an
identity that the store trusts. Pods run without root's rights and write nowhere but to /tmp.
"""

from itertools import pairwise
from typing import Any

from kfp import dsl, kubernetes

from physlm.steps import Pod, registry
from physlm.steps.step import DAY
from physlm_components.components import COMPONENTS

CREDENTIALS = {"accesskey": "AWS_ACCESS_KEY_ID", "secretkey": "AWS_SECRET_ACCESS_KEY"}
"""Keys of the Secret, and the variables they become."""

SETTINGS = ("PHYSLM_S3_ENDPOINT", "AWS_REGION", "PHYSLM_METRICS_ADDRESS", "PHYSLM_METRICS_PORT")
"""Keys of the ConfigMap, and the variables they become."""

ACCELERATOR = "nvidia.com/gpu"
"""What a pod's GPUs are asked for as."""


def _settle(task: Any, pod: Pod, config_map: str, secret: str) -> None:
    """Say how a step's pod must run."""
    task.set_caching_options(False)  # steps look in the store themselves
    task.set_retry(2, backoff_duration="30s", backoff_factor=4, backoff_max_duration="600s")
    task.set_cpu_request(pod.cpu).set_cpu_limit(pod.cpu)
    task.set_memory_request(pod.memory).set_memory_limit(pod.memory)
    if pod.accelerators:
        task.set_accelerator_type(ACCELERATOR).set_accelerator_limit(pod.accelerators)
    kubernetes.set_timeout(task, pod.seconds)
    kubernetes.use_config_map_as_env(task, config_map, {name: name for name in SETTINGS}, optional=True)
    kubernetes.use_secret_as_env(task, secret, CREDENTIALS, optional=True)
    kubernetes.set_security_context(task, run_as_non_root=True)
    kubernetes.empty_dir_mount(task, "scratch", "/tmp", size_limit="8Gi")
    for label, value in {"name": "physlm", "component": task.name, "part-of": "physlm"}.items():
        kubernetes.add_pod_label(task, f"app.kubernetes.io/{label}", value)


@dsl.pipeline(
    name="discover",
    description="From an experiment file to its laws, tested on what was held out, and its page.",
    # Finished pods degrade a cluster. Three days leave time to read the logs after a weekend.
    pipeline_config=dsl.PipelineConfig(ttl_seconds_after_finished=3 * DAY),
)
def discover(
    store: str, experiment_file: str, config_map: str = "physlm", secret: str = "mlpipeline-minio-artifact"
) -> None:
    """From an experiment file to its laws, tested on what was held out, and its page.

    Args:
        store: Address of the store, s3://bucket/prefix.
        experiment_file: Text of the experiment file (YAML), at most 10,000 bytes.
        config_map: Name of the ConfigMap that says where S3 is.
        secret: Name of the Secret with the credentials for S3.
    """
    first, *others = COMPONENTS
    begun = first(store=store, experiment_file=experiment_file)
    tasks = [begun, *(component(store=store, experiment_key=begun.output) for component in others)]
    for task in tasks:
        _settle(task, registry[task.name].pod, config_map, secret)
    for before, after in pairwise(tasks):
        after.after(before)
