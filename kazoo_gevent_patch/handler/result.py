"""``AsyncResult``: gevent's, with the promises that kazoo's default handler makes for its own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import FunctionType, TracebackType
from typing import Any, Final, NamedTuple

import gevent
import gevent.event
from gevent import getcurrent
from kazoo.handlers.threading import KazooTimeoutError

from kazoo_gevent_patch.errors import CannotWaitError
from kazoo_gevent_patch.handler.callbacks import Completions
from kazoo_gevent_patch.handler.continuations import is_continuation, is_waiter
from kazoo_gevent_patch.loop.atomic import atomically
from kazoo_gevent_patch.loop.waiting import Link, Place, ThreadPlace, WaitingList

_UNSET: Final = object()

_Callback = Callable[["AsyncResult"], object]


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


class _Failure(NamedTuple):
    """What a result holds in the place of a value when it holds an exception."""

    exception: Any
    traceback: TracebackType | None


class AsyncResult(gevent.event.AsyncResult):  # type: ignore[type-arg]
    """A one-time event that stores a value or an exception.

    ``AsyncResult()`` is ``gevent.event.AsyncResult``: callbacks run in the hub. A result
    that a handler made runs them on the handler's completion worker, where they may block
    and may call the client, as with kazoo's default handler.

    Time-outs raise ``ResultTimeout``; a ``gevent.Timeout`` of the caller's own passes
    through. Any greenlet of any thread may wait, and any may set.
    """

    # Nothing is left to gevent's class but its name: what it keeps in each instance, and the
    # frames that its compiled code adds to each traceback, are as many objects again for the
    # garbage collector to look at.
    __slots__ = ("__dict__", "_handler", "_linked", "_value")

    def __init__(self, handler: Completions | None = None) -> None:
        self._handler = handler
        self._value: Any = _UNSET
        # The places of what waits and the callbacks, in order; None at first, for the collector.
        self._linked: WaitingList | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        """Have a derived class's results complete before its ``__init__``, which may set them."""
        super().__init_subclass__(**options)
        if cls.__new__ is AsyncResult.__new__:
            setattr(cls, "__new__", _new)  # noqa: B010 # pyright would take it for our own

    def ready(self) -> bool:
        """Return true if and only if it holds a value or an exception."""
        return self._value is not _UNSET

    def successful(self) -> bool:
        """Return true if and only if it is ready and holds a value."""
        return self._value is not _UNSET and type(self._value) is not _Failure

    @property
    def value(self) -> Any:
        """The value; None if there is none."""
        value = self._value
        return None if value is _UNSET or type(value) is _Failure else value

    @property
    def exception(self) -> BaseException | None:
        """The exception; None if there is none."""
        exc_info = self.exc_info
        return exc_info[1] if exc_info else None

    @property
    def exc_info(self) -> tuple[Any, ...]:
        """The exception as ``sys.exc_info`` has it; an empty tuple if there is none."""
        failure = self._value
        return (type(failure.exception), *failure) if type(failure) is _Failure else ()

    def set(self, value: Any = None) -> None:
        """Store the value and wake up the waiters; what was stored last counts."""
        self._value = value
        linked = self._linked
        if linked:
            self._notify(linked)

    set_result = set

    def set_exception(self, exception: BaseException | None, exc_info: Any = None) -> None:
        """Store the exception and wake up the waiters; what was stored last counts.

        ``exc_info``, as ``sys.exc_info`` has it, is where the exception was raised first;
        without it that is what the exception itself tells now.
        """
        traceback = getattr(exception, "__traceback__", None)
        if exc_info:
            _, exception, traceback = exc_info
        self._value = _Failure(exception, traceback)
        if self._handler is not None:
            self._handler.has_failed = True
        linked = self._linked
        if linked:
            self._notify(linked)

    def __str__(self) -> str:
        outcome = "unset"
        if self.successful():
            outcome = f"value={self.value!r}"
        elif self.ready():
            outcome = f"exception={self.exception!r}"
        return f"<{type(self).__name__} {outcome} _links[{self.linkcount()}]>"

    def __repr__(self) -> str:
        # Without the value, which may be a secret: a program logs repr() unasked.
        failure = self._value
        outcome = "holds a value" if self.successful() else "is not ready"
        if type(failure) is _Failure:
            kind = failure.exception if isinstance(failure.exception, type) else self.exc_info[0]
            outcome = f"failed with {kind.__name__}"
        return f"<{type(self).__name__} {outcome}, {self.linkcount()} linked>"

    def __call__(self, source: Any) -> None:
        """Take over the outcome of a greenlet, or of another result, that this is linked to."""
        if source.successful():
            self.set(source.value)
        else:
            self.set_exception(source.exception, getattr(source, "exc_info", None))

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the value or raise the exception, waiting for it if need be.

        ``timeout`` is in seconds, None (the default) waits for ever. Raises ``ResultTimeout``
        if nothing is there in time or, with ``block`` false, at once; and ``CannotWaitError``
        where it would have to wait in the event loop itself.
        """
        if self._value is _UNSET and block:
            self._await(timeout)
        value = self._value
        if type(value) is not _Failure:
            if value is _UNSET:
                raise ResultTimeout(timeout if block else None)
            return value
        exception, traceback = value
        if isinstance(exception, BaseException):
            # Else the traceback would grow each time that somebody asks.
            exception.__traceback__ = traceback
        raise exception  # or a class, as with kazoo's default handler

    def result(self, timeout: float | None = None) -> Any:
        """Return what ``get`` does, as a future of ``concurrent.futures`` has it."""
        return self.get(timeout=timeout)

    def done(self) -> bool:
        """Return what ``ready`` does, as a future of ``concurrent.futures`` has it."""
        return self.ready()

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
        if not self.ready():
            self._await(timeout)
        return (self.value or True) if self.ready() else None

    def _await(self, timeout: float | None) -> None:
        handler = self._handler
        if handler is None:
            self._list().wait(self.ready, timeout)
            return
        if getcurrent() is handler.selector.greenlet and (timeout is None or timeout > 0):
            raise CannotWaitError(
                "This call waits for the connection, and was made in the connection greenlet, "
                "which a signal has interrupted; use client.handler.spawn(function) or, for a "
                "signal, gevent.signal_handler"
            )
        self._list().wait(self.ready, timeout, handler.home)

    def rawlink(self, callback: _Callback) -> None:
        """Have ``callback`` called with this instance when it is ready, now if it is.

        It is called on the handler's completion worker; without a handler, in the hub.
        """
        linked = self._list()
        if not (linked and linked.links_of(callback)):
            # Most are functions: kazoo's own steps, as they are or with arguments.
            kind = type(callback)
            runs_in_hub = self._handler is None or (
                kind is not FunctionType and kind is not partial and is_waiter(callback)
            )
            linked.append(Link(callback) if runs_in_hub else callback)
        if self._value is not _UNSET:
            self._notify(linked)

    def unlink(self, callback: _Callback) -> None:
        """Take back ``rawlink``, unless the callback has been called or is about to be."""
        linked = self._list()
        for link in linked.links_of(callback):
            linked.leave(link)  # unless whatever sets it was quicker

    def waiters(self) -> list[Place]:
        """Return the places of the greenlets that wait; safe in any native thread."""
        linked = self._linked
        return [] if linked is None else linked.greenlets()

    def linkcount(self) -> int:
        """Return how many wait, or were linked."""
        return len(self._linked or ())

    def _list(self) -> WaitingList:
        linked = self._linked
        if linked is None:
            new = WaitingList()
            # Threads that come at once get the same list: in this line CPython lets none run.
            self._linked = linked = new if self._linked is None else self._linked
        return linked

    def _notify(self, linked: WaitingList) -> None:
        """Wake all that wait and hand the callbacks over, each once."""
        for link in tuple(linked):
            kind = type(link)
            if kind is Place:
                if self._handler is not None:
                    self._handler.selector.slice.wakes()
                link.wake()  # its greenlet takes it out
            elif kind is ThreadPlace:
                link.wake()  # so does its thread
            elif kind is Link:
                linked.wake(link, self)
            else:
                self._call_back(linked, link)

    def _call_back(self, linked: WaitingList, callback: _Callback) -> None:
        """Take the callback out and have it run, in one step that nothing interrupts."""
        is_step = is_continuation(callback)
        # CPython runs signal handlers and other threads after calls and after jumps back, and a
        # debugger between two lines; from the question to the call there is none of these.
        if is_step and linked and linked[0] is callback: del linked[0]; callback(self); return  # noqa: E701, E702 # fmt: skip
        handler, call = self._handler, partial(callback, self)
        assert handler is not None  # nosec B101 # for the type checker: else it would have been a Link
        queue = None if is_step else handler.completion_queue
        try:
            atomically(
                partial(linked.remove, callback), call if queue is None else queue.adding(call)
            )
        except ValueError:
            return  # whatever took it out sees to it
        if queue is not None:
            queue.wake()
            if not handler.running:
                # kazoo promises that these have run when the setter returns
                # (kazoo/handlers/utils.py, AsyncResult._do_callbacks).
                queue.flush()


def _new(cls: type[AsyncResult], *_: object, **__: object) -> AsyncResult:
    result = gevent.event.AsyncResult.__new__(cls)
    AsyncResult.__init__(result)
    return result
