"""torchrun for the ranks of one machine: `python -m physlm.training.torchrun` with torchrun's arguments.

Nothing listens beyond loopback: torchrun's own stores would take commands from anyone who reaches the machine, so agent
and ranks meet in files of a private folder, and the collectives' sockets are bound to the loopback interface, whatever
the host is called.

It stops when its parent process dies: it then asks its ranks to stop, as torchrun does on SIGTERM. When it is killed
itself, its ranks stop in the same way.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile

from torch.distributed.run import main

from physlm import environment, orphan_watchdog
from physlm.training.ranks import FOLDER_VARIABLE

_RESTARTS = 3  # of all ranks together, after one is lost


def _run(arguments: list[str]) -> None:
    loopback = "lo0" if sys.platform == "darwin" else "lo"
    with tempfile.TemporaryDirectory(prefix="physlm-ranks-") as folder:  # for this user alone
        os.environ |= {
            FOLDER_VARIABLE: folder,
            "GLOO_SOCKET_IFNAME": loopback,
            "NCCL_SOCKET_IFNAME": loopback,
            "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
        }
        meeting = ["--rdzv-backend=c10d", f"--rdzv-endpoint={folder}/agent", "--rdzv-conf=store_type=file"]
        main([*meeting, "--local-addr=127.0.0.1", f"--max-restarts={_RESTARTS}", *arguments])


if __name__ == "__main__":
    environment.guard()
    orphan_watchdog.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))
    os.environ[orphan_watchdog.VARIABLE] = str(os.getpid())  # for the ranks
    _run(sys.argv[1:])
