"""What becomes of an error of a socket: what kazoo makes of it, and no work where there is none."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from types import FunctionType, TracebackType
from typing import Any, TypeAlias

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


def handling(original: Callable[[Any], _Handling], owner: type) -> Callable[[Any], _Handling]:
    """Return what takes the place of ``ConnectionHandler._socket_error_handling``.

    kazoo's makes a generator each time: for the sending of a request, and twice for its reply. One
    that the program has put there stays: it may do something where there is no error.
    """
    if not _is_kazoos(original, owner):
        return original

    def _socket_error_handling(self: Any) -> _Handling:
        return _OnError(original, self)

    return _socket_error_handling


def _is_kazoos(function: object, owner: type) -> bool:
    """Return whether this is a context manager, and its generator a function of kazoo's module."""
    generator = getattr(function, "__wrapped__", None)
    return (
        isinstance(function, FunctionType)
        and function.__globals__ is vars(contextlib)
        and isinstance(generator, FunctionType)
        # Not its __module__, which decorators copy.
        and generator.__globals__.get("__name__") == owner.__module__
    )
