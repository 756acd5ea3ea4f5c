"""The exceptions for the error codes that a server sends, those kazoo does not know included."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kazoo.exceptions import ZookeeperError


class UnknownServerError(ZookeeperError):  # type: ignore[misc]
    """The server refused a request with an error code that this kazoo does not know."""

    def __init__(self, code: int) -> None:
        super().__init__(f"Error code {code}")
        self.code = code

    def __reduce__(self) -> tuple[type[UnknownServerError], tuple[int]]:
        return type(self), (self.code,)


class _Exceptions(dict[int, Callable[[], Exception]]):
    def __missing__(self, code: int) -> Callable[[], Exception]:
        # Not stored: a hostile server could fill the memory with codes.
        return partial(UnknownServerError, code)


def with_unknown(exceptions: Mapping[int, Callable[[], Exception]], _: Any) -> _Exceptions:
    """Return kazoo's table of exceptions with an entry for every other code."""
    return _Exceptions(exceptions)
