"""The `physlm` command: one file for each group of commands."""

from __future__ import annotations

import sys
import warnings

from physlm.errors import Interrupted, PhyslmError, UserError


def main() -> None:
    """Run the command line; errors made by the user end with code 2, others with 1, Ctrl-C with 130."""
    from physlm import environment

    environment.guard()
    from physlm.cli.app import app
    from physlm.cli.console import fail, warn

    warnings.showwarning = lambda message, *_, **__: warn(str(message))
    try:
        app(standalone_mode=True)
    except Interrupted as error:
        fail(f"{error}; run the same command again to go on")
        sys.exit(130)
    except UserError as error:
        fail(str(error))
        sys.exit(2)
    except PhyslmError as error:
        fail(str(error))
        sys.exit(1)
