"""An experiment file as a parameter of Kubeflow Pipelines, which replaces {{$...}} in whatever it hands on.

A text without double braces stays as it is, to be read in the user interface. Any other is sent in base64, so that it
arrives as it was written and is stored as the experiment that it is.
"""

from __future__ import annotations

import base64
import binascii

from physlm.errors import ExperimentError

_PREFIX = "base64:"


def sent(text: str) -> str:
    """The text as it can be handed on without a change."""
    return text if "{{" not in text else _PREFIX + base64.b64encode(text.encode()).decode()


def received(text: str) -> str:
    """The text that was sent. Raises ExperimentError for what only looks like one."""
    if not text.startswith(_PREFIX):
        return text
    try:
        return base64.b64decode(text.removeprefix(_PREFIX), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ExperimentError(
            "the experiment file begins with 'base64:', but what follows is no text in base64"
        ) from None
