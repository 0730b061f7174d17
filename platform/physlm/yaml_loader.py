"""YAML as experiment files are written in it, with two repairs; what is wrong is told in one sentence."""

from __future__ import annotations

import re
from typing import Any

import yaml

from physlm.errors import ExperimentError


class _Loader(yaml.SafeLoader):
    """YAML with two repairs: 1e-2 is a number (YAML 1.2), and a key given twice is an error."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, list | dict):
                raise ExperimentError(f"line {key_node.start_mark.line + 1}: a key must be a word, not {key!r}")
            if key in seen:
                raise ExperimentError(f"line {key_node.start_mark.line + 1}: the key {key!r} is given twice")
            seen.add(key)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ExperimentError("aliases (*name) are not allowed; write the value out")
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$|^[-+]?\d[\d_]*\.[\d_]*$|^[-+]?\.(inf|nan)$", re.IGNORECASE),
    list("-+0123456789."),
)


def read_yaml(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise ExperimentError(f"{where}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise ExperimentError(f"not valid YAML: {reason}") from None
