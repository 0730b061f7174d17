"""Synthetic languages, one file each; a new file is found and registered by itself."""

from physlm.tasks.task import Axis, Instances, Questions, Stream, Task, TaskConfig, Verdict, build, registry

__all__ = ["Axis", "Instances", "Questions", "Stream", "Task", "TaskConfig", "Verdict", "build", "registry"]
