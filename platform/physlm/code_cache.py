"""Where compiled generators are kept between processes: only where nobody else can write, since a cache is code.

numba keeps them beside the sources, or in the user's cache folder, or where NUMBA_CACHE_DIR says; with none of these it
refuses to compile at all. `secure` sees to it, before numba is asked, that the folder named belongs to this user alone,
and names a private one where there is none that may be written to.
"""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def secure() -> None:
    """Set NUMBA_CACHE_DIR to a private folder unless numba finds a safe one by itself."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        if _is_ours(Path(named)):
            return
    elif _is_writable(Path(__file__).parent / "__pycache__") or _is_writable(_user_folder()):
        os.environ.pop(VARIABLE, None)
        return
    os.environ[VARIABLE] = str(_private())
    if config := sys.modules.get("numba.core.config"):  # numba has read the variable already
        config.CACHE_DIR = os.environ[VARIABLE]  # type: ignore[attr-defined]


def _is_ours(folder: Path) -> bool:
    """Whether the folder, or the one that it would be made in, is this user's, and nobody else may write there."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return _is_writable(folder)
    except OSError:
        return False
    ours = found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE
    return ours and stat.S_ISDIR(found.st_mode) and os.access(folder, os.W_OK | os.X_OK)


def _is_writable(folder: Path) -> bool:
    """Whether the folder may be written to, or made."""
    try:
        nearest = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    except OSError:
        return False
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def _user_folder() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    except RuntimeError:  # no home folder
        return Path("/nonexistent")


def _private() -> Path:
    """A folder for temporary files that only this user can enter; the same one next time, if it still is so then."""
    folder = Path(tempfile.gettempdir()) / f"physlm-compiled-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077:
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="physlm-compiled-"))
