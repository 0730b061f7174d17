"""Docstrings as data: help texts and cards are made from them, also where Python was told to drop them (-OO)."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import lru_cache
from pathlib import Path


def of_module(name: str) -> str:
    """The docstring of an imported module; empty where there is none."""
    module = sys.modules[name]
    if module.__doc__ is None and module.__file__:
        return ast.get_docstring(_tree(module.__file__)) or ""
    return inspect.cleandoc(module.__doc__ or "")


def of_class(cls: type) -> str:
    """The docstring of a class itself, not of those that it inherits from; empty where there is none."""
    if cls.__doc__ is None and (file := getattr(sys.modules[cls.__module__], "__file__", None)):
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                return ast.get_docstring(node) or ""
    return inspect.cleandoc(cls.__doc__ or "")


@lru_cache(maxsize=64)
def _tree(file: str) -> ast.Module:
    return ast.parse(Path(file).read_text(encoding="utf-8"))
