"""Synthetic languages, one file each; a new file is found and registered by itself."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

from physlm.tasks.contract import Axis, Instances, Questions, Stream, Task, TaskConfig, Verdict, build, registry  # noqa: E402

__all__ = ["Axis", "Instances", "Questions", "Stream", "Task", "TaskConfig", "Verdict", "build", "registry"]
