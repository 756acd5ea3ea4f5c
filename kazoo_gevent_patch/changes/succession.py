"""What becomes of a client whose connection greenlet is cut off from outside.

``gevent.kill``, a ``gevent.Timeout`` or ``throw`` ends the greenlet in one of its waits, where it
has nothing in its hands: a request that is being sent is still the first in kazoo's queue. Another
greenlet takes its place, on the same session, as after any connection that was dropped: requests
that wait for a reply end with ``ConnectionLoss``, and those in the queue are sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Final

from gevent import GreenletExit, getcurrent

from kazoo_gevent_patch import inventory
from kazoo_gevent_patch.handler.sequential import SequentialGeventHandler
from kazoo_gevent_patch.loop import waiting

FIRST_PAUSE: Final = 0.01
LONGEST_PAUSE: Final = 1.0
"""Seconds that a greenlet waits before it takes over from one that lived for less than the longest
pause. They double each time."""

_PAUSE: Final = "_kazoo_gevent_patch_pause"


def zk_loop(
    wrapped: Callable[..., Any], connection: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """``ConnectionHandler.zk_loop``: if it is cut off, another greenlet takes over."""
    # Not by vars(): CPython 3.11 and newer find the attributes of an object the long way once its
    # dictionary was asked for, and a request costs a twentieth more.
    pause, began = getattr(connection, _PAUSE, 0.0), monotonic()
    try:
        if pause:
            delattr(connection, _PAUSE)
            connection.client._stopped.wait(pause)
        return wrapped(*args, **kwargs)
    except BaseException:
        if is_cut_off(connection):
            # What cuts it off may be there to stay, such as an error that gevent raises.
            lived_long = monotonic() - began > pause + LONGEST_PAUSE
            next_pause = 0.0 if lived_long else min(pause * 2 or FIRST_PAUSE, LONGEST_PAUSE)
            setattr(connection, _PAUSE, next_pause)
            _succeed(connection)
        raise


def look_after(connection: Any) -> None:
    """Have a greenlet that is killed before it begins succeeded too."""
    connection._connection_routine.rawlink(partial(_after_death, connection))


def is_cut_off(connection: Any) -> bool:
    """Return whether the exception that is being handled cuts the connection greenlet off."""
    error = sys.exc_info()[1]
    return (
        error is not None
        and isinstance(connection.handler, SequentialGeventHandler)
        and getcurrent() is connection._connection_routine
        and getattr(connection.client, "_connection", None) is connection  # else it was replaced
        # kazoo itself raises nothing but exceptions of this kind, and none in a wait of ours.
        and (not isinstance(error, Exception) or _comes_out_of_a_wait(error))
    )


def _comes_out_of_a_wait(error: Exception) -> bool:
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or isinstance(error, OSError):
        return False
    module = str(trace.tb_frame.f_globals.get("__name__"))
    return module == waiting.__name__ or module.partition(".")[0] == "gevent"


def _succeed(connection: Any) -> None:
    # kazoo has just said that it has stopped; a stop() that waits for that joins the new greenlet.
    connection.connection_stopped.clear()
    connection._connection_routine = connection.handler.spawn(connection.zk_loop)
    look_after(connection)


def _after_death(connection: Any, ended: Any) -> None:
    if (
        connection._connection_routine is ended
        and isinstance(ended.value, GreenletExit)
        and not ended.is_inherited
        and inventory.is_running(connection.client)
    ):
        _succeed(connection)
