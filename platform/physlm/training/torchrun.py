"""torchrun that stops when its parent process dies: `python -m physlm.training.torchrun` with torchrun's arguments.

It then asks its ranks to stop, as torchrun does on SIGTERM; when it is killed itself, its ranks stop in the same way.
"""

from __future__ import annotations

import os
import signal
import sys

from torch.distributed.run import main

from physlm import orphan_watchdog

if __name__ == "__main__":
    orphan_watchdog.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))
    os.environ[orphan_watchdog.VARIABLE] = str(os.getpid())  # for the ranks
    main(sys.argv[1:])
