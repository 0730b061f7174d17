"""YAML as experiment files are written in it, with two repairs; what is wrong is told in one sentence."""

from __future__ import annotations

import re
from typing import Any

import yaml

from physlm.errors import ExperimentError


class _Loader(yaml.SafeLoader):
    """YAML 1.2 as far as it matters here, and a key given twice is an error.

    1e-2 is a number, yes and no are words, 1:30 is no number, and 010 is refused, since people read it as 10 or as 8.
    """

    # Without YAML 1.1's resolvers, of which those below take the place.
    yaml_implicit_resolvers = {  # noqa: RUF012 (as its base has it)
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rpartition(":")[2] not in ("bool", "int", "float")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

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

    def construct_yaml_int(self, node: Any) -> int:
        text = str(self.construct_scalar(node)).replace("_", "")
        if _LEADING_ZERO.fullmatch(text):
            raise ExperimentError(
                f"line {node.start_mark.line + 1}: {text} begins with a zero; write {int(text)}, or 0o... for octal"
            )
        return int(text, 0)


_LEADING_ZERO = re.compile(r"[-+]?0\d+")
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?\d[\d_]*$|^0o[0-7]+$|^0x[0-9a-fA-F]+$"), list("-+0123456789")
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$|^[-+]?\d[\d_]*\.[\d_]*$|^[-+]?\.\d[\d_]*([eE][-+]?\d+)?$|^[-+]?\.(inf|nan)$",
        re.IGNORECASE,
    ),
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
