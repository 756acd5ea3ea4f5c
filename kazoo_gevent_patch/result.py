"""``AsyncResult``: gevent's, with the promises that kazoo's default handler makes for its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

import gevent
import gevent.event
import kazoo.handlers.utils
from gevent.hub import Hub
from greenlet import greenlet
from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch.callbacks import CallbackQueue
from kazoo_gevent_patch.waiters import FAR_OFF
from kazoo_gevent_patch.waiting import ThreadWaiter, Waiter, call_in_hub, hub_to_wait_in

if TYPE_CHECKING:
    _GeventAsyncResult = gevent.event.AsyncResult[Any]
else:
    _GeventAsyncResult = gevent.event.AsyncResult

_DECORATORS: Final = vars(kazoo.handlers.utils)

_Callback = Callable[["AsyncResult"], object]
_Link: TypeAlias = "Waiter[Any] | ThreadWaiter | _Callback"


class Completions(Protocol):
    """What a result asks of the handler that made it."""

    hub: Hub | None

    @property
    def running(self) -> bool:
        """Whether the handler is started."""
        ...

    @property
    def completion_queue(self) -> CallbackQueue:
        """The queue of callbacks that were linked to results."""
        ...


class ResultTimeout(KazooTimeoutError, gevent.Timeout):  # type: ignore[misc]
    """No result came in time: caught as kazoo's time-out, as gevent's, and as an ``Exception``."""

    def __init__(self, seconds: float | None) -> None:
        # With seconds, gevent.Timeout would make a timer.
        gevent.Timeout.__init__(self)
        self.seconds = seconds

    def __reduce__(self) -> tuple[type[ResultTimeout], tuple[float | None]]:
        return type(self), (self.seconds,)  # gevent's timer cannot be pickled

    def __str__(self) -> str:
        if self.seconds is None:
            return "The result is not ready"
        return f"The result was not ready within {self.seconds} seconds"


# The compiled class's own methods: calling them so is half the price of super().
_init = gevent.event.AsyncResult.__init__
_ready = gevent.event.AsyncResult.ready
_set = gevent.event.AsyncResult.set
_set_exception = gevent.event.AsyncResult.set_exception
_get = gevent.event.AsyncResult.get


class AsyncResult(_GeventAsyncResult):
    """A one-time event that stores a value or an exception.

    ``AsyncResult()`` is ``gevent.event.AsyncResult``: callbacks run in the hub. A result
    that a handler made runs them on the handler's completion worker, where they may block
    and may call the client, as with kazoo's default handler.

    Time-outs raise ``ResultTimeout``; a ``gevent.Timeout`` of the caller's own passes
    through. Any greenlet of any thread may wait, and any may set. No wake-up is lost: who
    sets stores first and looks for links second, who waits or links registers first and
    looks for a value second.
    """

    __slots__ = ("__dict__", "_handler")

    # Who waits, and what is to be called, in the order in which they came. None until the
    # first one comes: with thousands of requests in flight, lists that stay empty would make
    # the garbage collector's pauses longer.
    _linked: list[_Link] | None = None

    def __init__(self, handler: Completions | None = None) -> None:
        _init(self)
        self._handler = handler

    def ready(self) -> bool:
        """Return true if and only if it holds a value or an exception."""
        return bool(_ready(self))

    def set(self, value: Any = None) -> None:
        """Store the value and wake up the waiters."""
        _set(self, value)
        linked = self._linked
        if linked:
            self._notify(linked)

    def set_exception(self, exception: BaseException | None, exc_info: Any = None) -> None:
        """Store the exception and wake up the waiters."""
        _set_exception(self, exception, exc_info)
        linked = self._linked
        if linked:
            self._notify(linked)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the value or raise the exception, waiting for it if need be.

        ``timeout`` is in seconds, None (the default) waits for ever. Raises ``ResultTimeout``
        if nothing is there in time or, with ``block`` false, at once; and ``CannotWaitError``
        where it would have to wait in the event loop itself.
        """
        if not _ready(self):
            if block:
                self._await(timeout)
            if not _ready(self):
                raise ResultTimeout(timeout if block else None)
        return _get(self)

    def get_nowait(self) -> Any:
        """Return the value or raise the exception; raise ``ResultTimeout`` if there is none."""
        return self.get(block=False)

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until the instance is ready, at most ``timeout`` seconds.

        Returns the value where that is true, and True where the instance is ready with
        anything else, so that both ``value = result.wait()``, as gevent has it, and
        ``if result.wait(5):``, as kazoo's default handler has it, do what they say. Returns
        None on time-out.
        """
        if not _ready(self):
            self._await(timeout)
        return (self.value or True) if _ready(self) else None

    def _await(self, timeout: float | None) -> None:
        hub = hub_to_wait_in()
        if hub is None:
            self._await_in_thread(timeout)
            return
        waiter: Waiter[Any] = Waiter(hub)
        linked = self._links()
        linked.append(waiter)
        handler = self._handler
        if timeout is None and handler is not None and handler.hub not in (None, hub):
            # In another thread's event loop there may be nothing else to wait for, and
            # gevent would take that for a wait that never ends (LoopExit).
            timeout = FAR_OFF
        # Less than zero does not wait, as with a condition in kazoo's default.
        timer = None if timeout is None else hub.loop.timer(max(timeout, 0))
        try:
            if timer is not None:
                timer.start(waiter.switch, None, update=True)
            if not _ready(self):
                waiter.get()
        finally:
            if timer is not None:
                timer.close()
            if linked:  # whoever sets it takes them out
                with suppress(ValueError):
                    linked.remove(waiter)

    def _await_in_thread(self, timeout: float | None) -> None:
        waiter, linked = ThreadWaiter(), self._links()
        linked.append(waiter)
        try:
            if not _ready(self):
                waiter.wait(timeout)
        finally:
            with suppress(ValueError):
                linked.remove(waiter)

    def rawlink(self, callback: _Callback) -> None:
        """Have ``callback`` called with this instance when it is ready, now if it is.

        It is called on the handler's completion worker; without a handler, in the hub.
        """
        if self._handler is None or _is_waiter(callback):
            super().rawlink(callback)
            return
        linked = self._links()
        if callback not in linked:
            linked.append(callback)
        if _ready(self):
            self._notify(linked)

    def unlink(self, callback: _Callback) -> None:
        """Take back ``rawlink``, unless the callback has been called or is about to be."""
        try:
            self._links().remove(callback)
        except ValueError:
            super().unlink(callback)

    def _links(self) -> list[_Link]:
        # setdefault is atomic: threads that come at once get the same list.
        links: list[_Link] = self.__dict__.setdefault("_linked", [])
        return links

    def _notify(self, linked: list[_Link]) -> None:
        """Wake who waits and hand the callbacks over, each once.

        Whoever finds the instance ready and something in the list takes it out and sees to
        it; ``pop`` gives it to one of them only.
        """
        while linked:
            try:
                link = linked.pop(0)
            except IndexError:
                return  # another thread was quicker
            if isinstance(link, Waiter):
                call_in_hub(link.hub, link.switch, None)
            elif isinstance(link, ThreadWaiter):
                link.wake()
            else:
                self._dispatch(link)

    def _dispatch(self, callback: _Callback) -> None:
        handler = self._handler
        assert handler is not None  # only then are there callbacks in the list
        if _is_continuation(callback):
            callback(self)
            return
        handler.completion_queue.put(partial(callback, self))
        if not handler.running:
            # kazoo promises that these have run when the setter returns
            # (kazoo/handlers/utils.py, AsyncResult._do_callbacks).
            handler.completion_queue.flush()


def _is_waiter(callback: Callable[..., object]) -> bool:
    """Return whether gevent itself links the callback, to resume a greenlet from the hub."""
    return isinstance(getattr(callback, "__self__", None), (greenlet, Waiter))


def _is_continuation(callback: Callable[..., object]) -> bool:
    """Return whether the callback is a step of one of kazoo's own operations.

    ``create(makepath=True)``, ``ensure_path`` and ``sync`` are chains of such steps, local
    functions in kazoo/client.py. A step never blocks: it queues the next request. If it had
    to wait its turn behind a user's callback that itself waits for the operation, neither
    would ever go on; so steps do not go through the queue.
    """
    while True:
        if isinstance(callback, partial):
            callback = callback.func
        elif not isinstance(callback, FunctionType):
            return False
        elif callback.__globals__ is _DECORATORS and callback.__closure__:
            # wrap() and capture_exceptions(); the first leaves no __wrapped__.
            names = callback.__code__.co_freevars
            callback = callback.__closure__[names.index("function")].cell_contents
        else:
            # Not its __module__, which other decorators copy.
            module = callback.__globals__["__name__"]
            return module == "kazoo.client" and "<locals>" in callback.__qualname__
