"""Several steps as one, between which nothing comes."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable
from typing import Final

_exhaust: Final = deque[object](maxlen=0).extend
# Python has operator.call since 3.11.
_call: Final = getattr(operator, "call", operator.methodcaller("__call__"))


def atomically(*steps: Callable[[], object]) -> None:
    """Call the steps, which are written in C, one after the other, as one step.

    The interpreter runs signal handlers and other threads only between two bytecodes, and this is
    one call of a function in C. The first step that raises is the last.
    """
    _exhaust(map(_call, steps))
