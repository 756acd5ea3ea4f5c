"""The nodes that a run works on."""

from typing import Final

ROOT: Final = "/soak"
CREATED: Final = f"{ROOT}/created"
LOCKS: Final = f"{ROOT}/locks"
COUNTERS: Final = f"{ROOT}/counters"
QUEUE: Final = f"{ROOT}/queue"
TAKEN: Final = f"{QUEUE}/taken"
"""Where kazoo's LockingQueue keeps the locks of its items."""
FENCES: Final = f"{ROOT}/fences"
"""A node for each worker, which it writes while it has an item."""
WATCHED: Final = f"{ROOT}/watched"
"""A node for each worker, which it watches and changes."""
SHARED: Final = f"{ROOT}/shared"
"""What a DataWatch and a ChildrenWatch of each client watch."""

WORKERS: Final = 100
CLIENTS: Final = 10
LEADERS: Final = 10
LOCK_NAMES: Final = ("a", "b", "c", "d")
LEADERSHIPS: Final = ("north", "south")
"""The names of locks that are held for seconds."""


def worker_name(number: int) -> str:
    """Return the name of a worker's nodes."""
    return f"w{number:02}"


def initial() -> list[str]:
    """Return what must be there before the workers begin, parents first."""
    workers = [worker_name(number) for number in range(WORKERS + LEADERS)]
    return [
        *(ROOT, CREATED, LOCKS, COUNTERS, QUEUE, TAKEN, FENCES, WATCHED, SHARED),
        *(f"{LOCKS}/{name}" for name in LOCK_NAMES),
        *(f"{COUNTERS}/{name}" for name in LOCK_NAMES),
        *(f"{parent}/{name}" for parent in (CREATED, FENCES, WATCHED) for name in workers),
    ]


def is_guard(path: str) -> bool:
    """Return whether the node makes a client a holder."""
    return path.startswith((f"{LOCKS}/", f"{TAKEN}/"))
