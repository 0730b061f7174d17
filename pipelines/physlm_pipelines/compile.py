"""Compile every component and pipeline: `python -m physlm_pipelines.compile [FOLDER]`, where FOLDER is the repository.

Writes components/compiled/*.yaml and pipelines/compiled/*.yaml, which Kubeflow Pipelines takes by upload. PHYSLM_IMAGE
names the image that they run in, if not the default.
"""

import sys
from pathlib import Path

from kfp.compiler import Compiler

from physlm_components.components import COMPONENTS
from physlm_pipelines.discover import discover


def compile_all(folder: Path) -> None:
    """Write the specs below a folder."""
    for place, parts in {"components": COMPONENTS, "pipelines": (discover,)}.items():
        target = folder / place / "compiled"
        target.mkdir(parents=True, exist_ok=True)
        for part in parts:
            Compiler().compile(part, str(target / f"{part.name}.yaml"))


if __name__ == "__main__":
    compile_all(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
