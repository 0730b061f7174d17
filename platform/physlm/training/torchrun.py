"""torchrun that doesn't outlive whoever started it: `python -m physlm.training.torchrun` with torchrun's arguments.

A killed parent can't tell anybody. This process then asks its ranks to stop, as torchrun does on SIGTERM; and when it
is killed itself, its ranks notice it in turn.
"""

from __future__ import annotations

import os
import signal
import sys

from torch.distributed.run import main

from physlm.training import orphan_watchdog

if __name__ == "__main__":
    orphan_watchdog.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))
    os.environ[orphan_watchdog.VARIABLE] = str(os.getpid())  # for the ranks
    main(sys.argv[1:])
