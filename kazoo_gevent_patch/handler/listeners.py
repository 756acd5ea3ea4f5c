"""Where the listeners of a client's states run: in a greenlet of theirs, where they may wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any, TypeAlias

from gevent import getcurrent

from kazoo_gevent_patch.handler.callbacks import Runner
from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.handler.greenlets import HandlerGreenlet
from kazoo_gevent_patch.loop.hubs import call_in_hub
from kazoo_gevent_patch.loop.threads import hub_bound_to_thread

_Call: TypeAlias = Callable[[], object]


class ListenerQueue(Runner):
    """Runs the calls of listeners, one at a time and in order, in one greenlet.

    kazoo's default handler runs them in the connection's thread, which waits for them. Here the
    connection greenlet waits for them too, so that listeners that do not wait have run when it
    goes on, and before anybody else does; but as soon as a listener waits, for whatever, the
    connection goes on. What comes meanwhile keeps its turn.

    The greenlet stays as long as the connection does, so that what listeners keep in a
    ``threading.local``, or a re-entrant lock that they hold, lasts as in that thread.

    Used in the event loop of the client only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._states: list[Callable[[], Iterable[_Call]]] = []
        self._parked = False
        self._kept = False
        self._caller: Any = None
        """The greenlet that has switched to it, and waits for it to park."""
        self._all_ran = Event()
        self._all_ran.set()

    def run(self, calls_of_state: Callable[[], Iterable[_Call]]) -> None:
        """Make the calls of a state after all from before; return when all ran, or when one waits.

        Which they are is asked when their turn comes: listeners may have come and gone by then.
        What they raise is the caller's to handle, inside of them.
        """
        self._states.append(calls_of_state)
        if self._all_ran.is_set() and not self._has_calls():
            return
        self._kept = True
        self._all_ran.clear()
        hub = hub_bound_to_thread()
        greenlet = self.worker
        if greenlet is None or not greenlet.may_go_on() or greenlet.hub is not hub:
            greenlet = self.worker = HandlerGreenlet(self._run)
        elif not self._parked:
            return  # it waits in a listener, or this is one
        current: Any = getcurrent()
        loop: Any = hub.loop
        # A listener that waits switches to the hub, and the hub calls this next. In the hub itself
        # that switch comes back here.
        go_on = None if current is hub else loop.run_callback(current.switch)
        self._caller = current
        try:
            greenlet.switch()
        finally:
            self._caller = None
            if go_on is not None:
                go_on.stop()

    def qsize(self) -> int:
        """Return how many calls and states wait for their turn."""
        return super().qsize() + len(self._states)

    def end(self) -> None:
        """Let the greenlet end when all has run."""
        self._kept = False
        if self._parked:
            call_in_hub(hub_bound_to_thread(), self._unpark)

    def abandon(self) -> None:
        """Drop all, for ever: the event loop has ended, or is the parent process's."""
        self._kept = False
        self._states.clear()
        self._callbacks.clear()
        greenlet, self.worker = self.worker, None
        if self._parked and greenlet is not None:
            greenlet.end()

    def join(self, timeout: float) -> bool:
        """Wait until all has run, at most ``timeout`` seconds; return whether it has.

        A listener that calls this does not wait for itself.
        """
        return getcurrent() is self.worker or self._all_ran.wait(timeout)

    def _unpark(self) -> None:
        if self._parked and not self._kept and self.worker is not None:
            self.worker.switch()

    def _run(self) -> None:
        try:
            self._run_calls()
            while self._kept:
                self._park()
                self._run_calls()
        finally:
            if self.worker is getcurrent():
                # A listener that raises what ends a greenlet does not take the others with it.
                self.worker = HandlerGreenlet.spawn(self._run) if self._has_calls() else None
            if not self._has_calls():
                self._all_ran.set()

    def _run_calls(self) -> None:
        while self._has_calls():
            call = self._callbacks.popleft()
            # Not in a method that callbacks share: their frames let a signal through at once.
            self._began = perf_counter()
            self._running = call
            try:
                call()
            finally:
                self._running = None
        self._all_ran.set()

    def _has_calls(self) -> bool:
        while self._states and not self._callbacks:
            self._callbacks.extend(self._states.pop(0)())
        return bool(self._callbacks)

    def _park(self) -> None:
        self._parked = True
        try:
            (hub_bound_to_thread() if self._caller is None else self._caller).switch()
        finally:
            self._parked = False
