"""Makes the first clients of a process in eight threads at once, several times over; prints what went wrong in them."""

import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from pytest_k8sha.kube.kubeconfig import Context

ROUNDS = 5
CONFIG = {
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {}}],
    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
    "current-context": "c",
}


def one(connect: Any, together: threading.Barrier) -> None:
    together.wait()
    try:
        connect()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        sys.stdout.write(f"{error!r}\n")


sys.setswitchinterval(1e-6)  # seconds: the threads get into each other's way as often as they can
with tempfile.TemporaryDirectory() as private:
    for _ in range(ROUNDS):
        for name in [name for name in sys.modules if name.split(".")[0] == "kubernetes"]:
            del sys.modules[name]
        barrier, connect = threading.Barrier(8), Context("c", CONFIG).connector(Path(private))
        threads = [threading.Thread(target=one, args=[connect, barrier]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
