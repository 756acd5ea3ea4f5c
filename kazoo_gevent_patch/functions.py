"""Whose a function is, and what lies beneath what others have put over it."""

from __future__ import annotations

from types import FunctionType
from typing import Any


def innermost(function: Any, stop: object = None) -> Any:
    """Return what is wrapped by all that tell what they wrap, or ``stop`` if that comes first."""
    seen = set()
    while function is not stop and id(function) not in seen:
        seen.add(id(function))
        wrapped = getattr(function, "__wrapped__", None)
        if wrapped is None:
            break
        function = wrapped
    return function


def is_own(function: object, *packages: str) -> bool:
    """Return whether this is a function of one of the packages, and nothing put over one."""
    return (
        type(function) is FunctionType
        # Not its __module__, which decorators copy.
        and str(function.__globals__.get("__name__")).partition(".")[0] in packages
    )
