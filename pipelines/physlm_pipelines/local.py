"""Run the compiled pipeline `discover` under kfp.local: `python -m physlm_pipelines.local FOLDER`.

FOLDER holds arguments.json, the pipeline's arguments, and takes the artifacts. This is a process of its own, since
kfp.local takes over the root logger and `print`. Ends with code 1 when a step has failed.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import yaml
from kfp import components, local
from kfp.compiler import Compiler

from physlm_pipelines.discover import discover


def main(folder: Path) -> int:
    """Run the pipeline, and return the exit code."""
    # Ctrl-C is for the step that runs, which then fails.
    signal.signal(signal.SIGINT, lambda *_: None)
    runner = local.SubprocessRunner(use_venv=False)
    local.init(runner, pipeline_root=str(folder / "outputs"), workspace_root=str(folder / "workspace"))
    pipeline = components.load_component_from_text(_without_retries(folder / "discover.yaml"))
    try:
        pipeline(**json.loads((folder / "arguments.json").read_text()))
    except RuntimeError as error:
        print(error)
        return 1
    return 0


def _without_retries(package: Path) -> str:
    """The compiled pipeline; kfp.local would wait before it repeats what fails again."""
    Compiler().compile(discover, str(package))
    documents: list[Any] = list(yaml.safe_load_all(package.read_text()))
    for task in documents[0]["root"]["dag"]["tasks"].values():
        del task["retryPolicy"]
    return yaml.safe_dump_all(documents)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
