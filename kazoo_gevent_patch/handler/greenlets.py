"""The greenlets that handlers start, and what becomes of them in a forked child."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import gevent
from gevent import GreenletExit, get_hub, getcurrent
from gevent.hub import Hub

from kazoo_gevent_patch.handler.event import Event
from kazoo_gevent_patch.loop.forks import after_fork_in_child, mark
from kazoo_gevent_patch.loop.waiting import (
    call_in_hub,
    hub_of_this_thread,
    hub_to_wait_in,
    is_own_thread,
)

if TYPE_CHECKING:
    _Greenlet = gevent.Greenlet[..., Any]
else:
    _Greenlet = gevent.Greenlet


def begin_generation() -> None:
    """Say that this process was forked: the greenlets that handlers started are the parent's.

    The one that called fork goes on, as after any fork.
    """
    HandlerGreenlet.current_generation += 1
    current = getcurrent()
    if isinstance(current, HandlerGreenlet):
        current.generation = HandlerGreenlet.current_generation


# The base class's own methods: calling them so is cheaper than super(), at each switch.
_switch = gevent.Greenlet.switch
_throw = gevent.Greenlet.throw


class HandlerGreenlet(_Greenlet):
    """A greenlet with the methods of a thread that code for kazoo's default handler uses.

    As with a thread, what it does goes on in one process only: in a forked child it never
    runs again. Whatever would resume it there (every wait in gevent does so through
    ``switch`` or ``throw``) ends it instead, as ``kill`` does, so that a descriptor it
    waited for is not watched for ever.
    """

    daemon = True
    current_generation = 0
    """How many forks lie between the first process and this one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.generation = self.current_generation
        self._hub = get_hub()

    @classmethod
    def spawn_in(cls, hub: Hub, function: Callable[[], object]) -> HandlerGreenlet:
        """Start one in another thread's event loop."""
        had_hub = hub_of_this_thread() is not None
        greenlet = cls(function)
        greenlet._hub = hub
        if not had_hub:
            # gevent has just made one, which keeps its descriptors open when the thread ends.
            get_hub().destroy(destroy_loop=True)
        call_in_hub(hub, greenlet._start_here)
        return greenlet

    def _start_here(self) -> None:
        self.parent = get_hub()  # what has not begun may still be moved to another thread
        self.start()

    def is_inherited(self) -> bool:
        """Return whether it was started in a process that this one was forked from."""
        return self.generation != self.current_generation

    def is_alive(self) -> bool:
        """Return whether the function has not ended yet."""
        return not self.ready() and not self.is_inherited()

    def may_go_on(self) -> bool:
        """Return whether the function has not ended yet, and its event loop was not destroyed."""
        loop: Any = self._hub.loop
        return self.is_alive() and loop is not None

    def lives_in(self, hub: Hub | None) -> bool:
        """Return whether it runs in the hub."""
        return self._hub is hub

    def join(self, timeout: float | None = None) -> None:
        """Wait until the function has ended, at most ``timeout`` seconds.

        Raises ``RuntimeError`` in the greenlet itself, which would wait for ever, and
        ``CannotWaitError`` in the event loop. Any other may wait, in any thread.
        """
        if getcurrent() is self:
            raise RuntimeError("cannot join current greenlet")
        if self.is_inherited() or self.ready():
            return
        if is_own_thread(self._hub):
            hub_to_wait_in()
            super().join(timeout if timeout is None else max(timeout, 0))
        else:
            ended = Event()
            call_in_hub(self._hub, self.rawlink, lambda _: ended.set())
            ended.wait(timeout)

    def switch(self, *args: Any) -> Any:
        """Resume the greenlet; end it if it is inherited."""
        if not mark[0]:
            after_fork_in_child()
        if self.generation != self.current_generation:
            return _throw(self, GreenletExit)
        return _switch(self, *args)

    def throw(self, *args: Any) -> Any:
        """Resume the greenlet with an exception; end it if it is inherited."""
        if not mark[0]:
            after_fork_in_child()
        if self.generation != self.current_generation:
            return _throw(self, GreenletExit)
        return _throw(self, *args)

    def end_inherited(self) -> None:
        """End it now. Only for code that does not wait when it is ended.

        Its parent is the hub, which would get control when it ends: it has to come back here.
        """
        loop: Any = self._hub.loop
        if loop is None:
            return  # it is destroyed, and nothing else would resume it
        try:
            self.parent = getcurrent()
        except ValueError:
            return  # of a thread that the fork left behind: nothing can resume it here
        # gevent takes the parent for a hub when there are links: monkey patched, one that has
        # logged has a link from its dummy thread, which Python drops in the child.
        self.unlink_all()
        self.throw(GreenletExit)
