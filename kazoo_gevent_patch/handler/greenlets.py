"""The greenlets that handlers start, and what becomes of them in a forked child."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import gevent
from gevent import GreenletExit, get_hub, getcurrent
from gevent.hub import Hub
from gevent.monkey import get_original

from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.loop.forks import notice_fork
from kazoo_gevent_patch.loop.hubs import (
    call_in_hub,
    has_loop,
    hub_of_this_thread,
    hub_to_wait_in,
    is_own_thread,
)
from kazoo_gevent_patch.loop.signals import Sheltered
from kazoo_gevent_patch.loop.threads import hub_bound_to_thread
from kazoo_gevent_patch.loop.waiting import ThreadPlace
from kazoo_gevent_patch.weak import IdentitySet

_start_new_thread = get_original("_thread", "start_new_thread")

living = IdentitySet()
"""The greenlets that handlers started in this process, or in one that it was forked from."""


class HandlerGreenlet(gevent.Greenlet, Sheltered):  # type: ignore[type-arg]
    """A greenlet with the methods of a thread that code for kazoo's default handler uses.

    As with a thread, what it does goes on in one process only: in a forked child it is ended
    (``disown_greenlets``), the one that called fork excepted.
    """

    daemon = True
    is_inherited = False
    """Whether it was started in a process that this one was forked from."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Before it is remembered: in a child whose fork ran no hook it would count as inherited.
        notice_fork()
        super().__init__(*args, **kwargs)
        self.hub: Hub = get_hub()
        """The hub in whose event loop it runs."""
        living.add(self)

    @classmethod
    def spawn_in(cls, hub: Hub, function: Callable[[], object]) -> HandlerGreenlet:
        """Start one in another thread's event loop."""
        had_hub = hub_of_this_thread() is not None
        greenlet = cls(function)
        greenlet.hub = hub
        if not had_hub:
            # gevent has just made one, which keeps its descriptors open when the thread ends.
            get_hub().destroy(destroy_loop=True)
        call_in_hub(hub, greenlet._start_here)
        return greenlet

    @classmethod
    def spawn_here(cls, function: Callable[[], object]) -> HandlerGreenlet:
        """Start one in the caller's event loop, or else in a native thread of its own.

        An event loop that was made for it in a native thread would never run again.
        """
        is_main = threading.get_ident() == threading.main_thread().ident
        if is_main or hub_of_this_thread() is not None:
            greenlet: HandlerGreenlet = cls.spawn(function)
            return greenlet
        greenlets: list[HandlerGreenlet] = []
        begun = ThreadPlace()

        def run() -> None:
            hub_bound_to_thread()
            greenlets.append(cls(function))
            begun.wake()
            greenlets[0].start()
            greenlets[0].join()

        _start_new_thread(run, ())
        begun.wait(None)
        return greenlets[0]

    def _start_here(self) -> None:
        self.parent = get_hub()  # a greenlet that has not begun may still move to another thread
        self.start()

    def is_alive(self) -> bool:
        """Return whether the function has not ended yet."""
        return not self.ready() and not self.is_inherited

    def may_go_on(self) -> bool:
        """Return whether the function has not ended yet, and its event loop was not destroyed."""
        return self.is_alive() and has_loop(self.hub)

    def join(self, timeout: float | None = None) -> None:
        """Wait until the function has ended, at most ``timeout`` seconds.

        Raises ``RuntimeError`` in the greenlet itself, which would wait for ever, and
        ``CannotWaitError`` in the event loop. Any other may wait, in any thread.
        """
        if getcurrent() is self:
            raise RuntimeError("cannot join current greenlet")
        if not self.is_alive():
            return
        if is_own_thread(self.hub):
            hub_to_wait_in()
            super().join(timeout if timeout is None else max(timeout, 0))
        else:
            ended = Event()
            call_in_hub(self.hub, self.rawlink, lambda _: ended.set())
            ended.wait(timeout)

    def disown(self) -> None:
        """Have the parent process's greenlet end when this process's event loop first runs.

        Whatever would resume it before that ends it as well: gevent's waits look ``switch`` up
        when they resume a greenlet.
        """
        self.is_inherited = True
        vars(self).update(switch=self._exit, throw=self._exit)
        if not self:
            self.end()  # it has not begun
        elif is_own_thread(self.hub):
            # Not now: it may run the program's code, which may wait, in the middle of fork().
            call_in_hub(self.hub, self._exit)

    def _exit(self, *_: object) -> Any:
        return None if self.ready() else super().throw(GreenletExit)

    def end(self) -> None:
        """End it now. Only for code that does not wait when it is ended.

        Its parent is the hub, which would get control when it ends: it has to come back here.
        """
        if not has_loop(self.hub):
            return  # nothing else would resume it
        try:
            self.parent = getcurrent()
        except ValueError:
            return  # of a thread that the fork left behind: nothing can resume it here
        # gevent takes the parent for a hub when there are links: monkey patched, one that has
        # logged has a link from its dummy thread, which Python drops in the child.
        self.unlink_all()
        self._exit()


def disown_greenlets(called_fork: object) -> None:
    """Disown the greenlets that handlers started before the fork.

    :param called_fork: the greenlet that called fork and goes on, as after any fork.
    """
    for greenlet in living:
        if greenlet is not called_fork and greenlet.is_alive():
            greenlet.disown()
