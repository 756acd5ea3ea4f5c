"""Makes what takes the place of one of kazoo's functions.

It is a plain function under the original's name. So it can be copied, pickled by its name, taken
apart as a bound method and looked at by ``inspect``, as the original can; an object that stands
for a function, such as a proxy, can do only some of that.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any


def around(
    original: Any, replace: Callable[..., Any], is_on: Callable[[], object]
) -> Callable[..., Any]:
    """Return a method that calls ``replace`` around the original.

    :param original: what the class has now: kazoo's function, or what somebody has put over it.
    :param replace: is called with the original bound to the instance, the instance, and the
        positional and named arguments.
    :param is_on: asked at each call; if it says no, the original alone is called. So the method
        does nothing where it could not be taken away.
    """
    binds = hasattr(original, "__get__")

    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        wrapped = original.__get__(self, type(self)) if binds else original
        if is_on():
            return replace(wrapped, self, args, kwargs)
        return wrapped(*args, **kwargs)

    method = wraps(original)(method)
    with suppress(TypeError, ValueError):  # a callable that tells nobody its parameters
        # inspect.getfullargspec does not follow __wrapped__.
        method.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    return method
