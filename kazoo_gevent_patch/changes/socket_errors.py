"""What becomes of an error of a socket: what kazoo makes of it, and no work where there is none."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import TracebackType
from typing import Any, TypeAlias

from kazoo_gevent_patch.functions import is_own

_Handling: TypeAlias = AbstractContextManager[object]


class _OnError(partial[_Handling]):
    """A call of kazoo's ``_socket_error_handling`` that is made when there is an error."""

    def __enter__(self) -> None:
        """Do nothing: so far there is no error."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool | None:
        """Have kazoo judge the error, if there is one."""
        if error is None:
            return None
        handling = self()
        handling.__enter__()
        return handling.__exit__(kind, error, trace)


def handling(original: Callable[[Any], _Handling], _: type) -> Callable[[Any], _Handling]:
    """Return what takes the place of ``ConnectionHandler._socket_error_handling``.

    kazoo's makes a generator each time: for the sending of a request, and twice for its reply. One
    that the program has put there stays: it may do something where there is no error.
    """
    generator = getattr(original, "__wrapped__", None)
    if not (is_own(original, "contextlib") and is_own(generator, "kazoo")):
        return original

    def _socket_error_handling(self: Any) -> _Handling:
        return _OnError(original, self)

    return _socket_error_handling
