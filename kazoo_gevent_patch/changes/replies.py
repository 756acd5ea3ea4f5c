"""How replies are read that kazoo takes at their word, whatever a server may have put into them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kazoo.exceptions import MarshallingError

_Read = Callable[[Any, int], Any]


def with_path(_: object, request: Any) -> classmethod[Any, Any, Any]:
    """Return what reads the reply to a request that is answered with a path.

    kazoo takes a path that is null for "not yet", and the caller waits for ever.
    """
    read: _Read = request.deserialize

    def deserialize(_: Any, data: Any, offset: int) -> Any:
        path = read(data, offset)
        if path is None:
            raise MarshallingError(f"The server's answer to {request.__name__} names no path")
        return path

    return classmethod(deserialize)
