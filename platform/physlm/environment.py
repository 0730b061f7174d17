"""Every environment variable that physlm reads, once, with what it means; what they hold is stripped and checked here.

A variable that is empty or blank counts as not set. Kubernetes sets `<NAME>_PORT=tcp://...` in the pods beside a
Service of that name; such a value is no port of ours and counts as not set too. Secrets are stripped, checked to be
printable ASCII, and never printed: `redacted` takes them out of any text, and `guard` does so for all that a process
prints.
"""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from contextlib import suppress
from ipaddress import ip_address
from types import TracebackType
from typing import TextIO, cast
from urllib.parse import urlsplit

from physlm.errors import UserError

METRICS_PORT = "PHYSLM_METRICS_PORT"
METRICS_ADDRESS = "PHYSLM_METRICS_ADDRESS"
S3_ENDPOINT = "PHYSLM_S3_ENDPOINT"
KFP_HOST = "PHYSLM_KFP_HOST"
KFP_TOKEN = "PHYSLM_KFP_TOKEN"
IMAGE = "PHYSLM_IMAGE"
COMPLETION_INDEX = "JOB_COMPLETION_INDEX"

SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "MINIO_ACCESS_KEY",
    "MINIO_SECRET_KEY",
    "MINIO_ROOT_USER",
    "MINIO_ROOT_PASSWORD",
    KFP_TOKEN,
)
"""Variables whose values are taken out of whatever is printed."""

# What torchrun, MPI-like launchers and schedulers tell the ranks of a job: not for processes that we start.
_OF_A_JOB = re.compile(
    r"RANK|WORLD_SIZE|LOCAL_RANK|LOCAL_WORLD_SIZE|GROUP_RANK|GROUP_WORLD_SIZE|ROLE_RANK|ROLE_NAME|ROLE_WORLD_SIZE|"
    r"MASTER_ADDR|MASTER_PORT|TORCHELASTIC_.*|PET_.*|TORCH_NCCL_ASYNC_ERROR_HANDLING"
)
_SHORTEST_SECRET = 4  # characters; shorter ones would blot out ordinary text
_SERVICE = re.compile(r"(tcp|udp|sctp)://\S+")


def text(name: str) -> str | None:
    """The value, stripped; None where it is not set or blank. Raises UserError for control characters within."""
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    if not value.isprintable():
        raise UserError(f"{name}: holds a control character such as a line break; set it to one line of plain text")
    return value


def integer(name: str, default: int | None = None, low: int = 0, high: int = 2**31 - 1) -> int | None:
    """A whole number within [low, high]; the default where it is not set. Raises UserError naming the variable."""
    value = text(name)
    if value is None or _SERVICE.fullmatch(value):
        return default
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise UserError(f"{name}: {value[:60]!r} must be a whole number from {low} to {high}")
    return number


def completion_index() -> int:
    """Index of this pod in an Indexed Job; 0 outside one."""
    return cast("int", integer(COMPLETION_INDEX, 0))


def metrics_port() -> int | None:
    """Port of live metrics, 0 for any free one; None where none are wanted."""
    return integer(METRICS_PORT, None, 0, 65_535)


def secret(name: str) -> str | None:
    """A credential, stripped. Raises UserError, without the value, where it can't be sent in a header."""
    value = os.environ.get(name, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isprintable() and " " not in value):
        raise UserError(f"{name}: holds a character that no credential has, such as a space or a line break within")
    return value


def redacted(shown: str) -> str:
    """A text without the values of secrets that the environment holds, whole or line by line."""
    for name in SECRETS:
        value = os.environ.get(name, "")
        for part in sorted({value, value.strip(), *value.split()}, key=len, reverse=True):
            if len(part) >= _SHORTEST_SECRET:
                shown = shown.replace(part, f"<{name}>")
                shown = shown.replace(repr(part)[1:-1], f"<{name}>")
    return shown


def for_child(**changes: str) -> dict[str, str]:
    """The environment of a process that we start: nothing of a surrounding job's ranks, no modules from its folder."""
    kept = {name: value for name, value in os.environ.items() if not _OF_A_JOB.fullmatch(name)}
    return {**kept, "PYTHONSAFEPATH": "1", **changes}


def warn_of_plain_http(address: str, what: str) -> None:
    """Warn where something secret would leave this machine, or the cluster that this pod is in, unencrypted."""
    url = urlsplit(address)
    host = url.hostname or ""
    # <service>.<namespace>, .svc or .svc.cluster.local: a Service's names within a cluster
    in_cluster = "KUBERNETES_SERVICE_HOST" in os.environ and (host.count(".") < 2 or ".svc" in host)
    if url.scheme != "http" or host == "localhost" or in_cluster:
        return
    with suppress(ValueError):
        if ip_address(host).is_loopback:
            return
    warnings.warn(f"{what} go to {url.netloc} unencrypted; use https:// beyond this machine", stacklevel=3)


class _Guarded:
    """A text stream that takes secrets out of what is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, shown: str) -> int:
        self._stream.write(redacted(shown))
        return len(shown)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


def guard() -> None:
    """Prepare a process of ours: it prints no secret, and nothing that its terminal can't show: that is replaced.

    Also covers tracebacks, whose exceptions may hold what a library was given. A notebook's MPLBACKEND, which needs
    packages of the notebook's, is not for us: figures are drawn without a backend.
    """
    os.environ.pop("MPLBACKEND", None)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Guarded):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace" if name == "stderr" else "replace")
        setattr(sys, name, _Guarded(stream))

    def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            sys.stderr.write("".join(traceback.format_exception(kind, error, trace)))

    sys.excepthook = show
