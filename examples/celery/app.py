"""A Celery application whose tasks, in all its workers, take turns at a lock."""

from __future__ import annotations

# The line comes first; Celery itself has monkey patched when it imports this with -P gevent.
from kazoo_gevent_patch import patch_all

patch_all()

import os
from pathlib import Path
from typing import Any

from celery import Celery
from celery.signals import worker_init, worker_shutdown
from kazoo.client import KazooClient

# Celery's broker and results here are files, so that the example needs no server but ZooKeeper.
# They are in a folder of the user's own: a file in it can have the worker run a task.
CACHE = Path.home() / ".cache" / "kazoo-gevent-patch-celery"
FILES = Path(os.environ.get("CELERY_FILES", CACHE))
COUNTER = "/example-celery/counter"

FILES.mkdir(mode=0o700, parents=True, exist_ok=True)
for folder in ("queue", "control", "results"):
    (FILES / folder).mkdir(parents=True, exist_ok=True)

app = Celery(
    "app",
    broker="filesystem://",
    backend=(FILES / "results").as_uri(),
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "data_folder_in": str(FILES / "queue"),
        "data_folder_out": str(FILES / "queue"),
        "control_folder": str(FILES / "control"),
        "polling_interval": 0.1,
    },
)
zk = KazooClient(os.environ.get("ZK_HOSTS", "127.0.0.1:2181"))


@worker_init.connect  # type: ignore[untyped-decorator]
def connect(**_: Any) -> None:
    """Start the client once. With -P prefork the parent starts it, and the children inherit it."""
    zk.start()


@worker_shutdown.connect  # type: ignore[untyped-decorator]
def disconnect(**_: Any) -> None:
    zk.stop()
    zk.close()


@app.task  # type: ignore[untyped-decorator]
def increment() -> dict[str, Any]:
    """Increment the counter that all tasks share; return the number and which process did it."""
    zk.retry(zk.ensure_path, COUNTER)
    with zk.Lock("/example-celery/lock"):
        number = int(zk.get(COUNTER)[0] or 0) + 1
        zk.set(COUNTER, str(number).encode())
    return {
        "number": number,
        "pid": os.getpid(),
        "session": hex(zk.client_id[0]),
        "handler": type(zk.handler).__module__,
    }
