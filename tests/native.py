"""Native threads, with and without gevent, for tests that share things among them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import gevent
from gevent.monkey import get_original

from tests.support import wait_until

_start_new_thread = get_original("_thread", "start_new_thread")


class NativeThread:
    """A native thread, monkey patched or not; ``get`` lets this thread's event loop run."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._outcome: list[tuple[bool, Any]] = []
        _start_new_thread(self._run, (function, *args))

    def _run(self, function: Callable[..., Any], *args: Any) -> None:
        try:
            self._outcome.append((True, function(*args)))
        except BaseException as error:
            self._outcome.append((False, error))

    def ready(self) -> bool:
        """Return whether the function has ended."""
        return bool(self._outcome)

    def get(self, timeout: float = 30.0) -> Any:
        """Return what the function returned or raise what it raised."""
        wait_until(self.ready, timeout, gevent.sleep, "the native thread goes on")
        succeeded, value = self._outcome[0]
        if not succeeded:
            raise value
        return value


def outcomes(workers: Iterable[Any], timeout: float = 60.0) -> list[Any]:
    """Return the outcomes of native threads and of greenlets."""
    return [worker.get(timeout=timeout) for worker in workers]
