"""Checks the contract against the kazoo, and the gevent, that are there.

Only kazoo's own code is called for it, and only constructors that do without a server. One that
somebody has put a wrapper over is called beneath it: the wrapper might start the client.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any, Final

from kazoo_gevent_patch.functions import innermost, is_own
from kazoo_gevent_patch.patching.needs import Kind, Need


class CannotJudgeError(Exception):
    """What is to be checked is hidden behind somebody else's code."""


def misfits(contract: Iterable[Need]) -> list[str]:
    """Return a sentence for each name that is not as the contract says.

    The modules of the contract are imported already, or cannot be.
    """
    checker = _Checker()
    return list(dict.fromkeys(text for need in contract for text in checker.misfits(need)))


class _Checker:
    """Checks needs, and keeps the instances that it has built for that."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def misfits(self, need: Need) -> Iterator[str]:
        """Return a sentence for each name of the need that does not fit."""
        module = sys.modules.get(need.module)
        if module is None:
            yield f"there is no module {need.module}"
            return
        try:
            owner = attrgetter(need.in_module)(module) if need.in_module else module
        except AttributeError:
            yield f"there is no {need.path}"
            return
        whole = need.kind in (Kind.begins, Kind.takes)
        names = [need.names] if whole else need.names.split()
        try:
            for name in names:
                if not any(self._holds(need, owner, either) for either in name.split("|")):
                    told = name.replace("|", " or ")
                    yield need.kind.value.format(path=need.path, name=told)
        except CannotJudgeError:
            return
        except Exception as error:
            yield f"{need.path} cannot be checked ({error!r})"

    def _holds(self, need: Need, owner: Any, name: str) -> bool:
        if need.kind is Kind.keeps:
            return hasattr(self._instance(need.path, owner), name)
        return _CHECKS[need.kind](owner, name, need.module.partition(".")[0])

    def _instance(self, path: str, kind: Any) -> Any:
        if path not in self._built:
            self._built[path] = None
            arguments = self._arguments(path)
            construct = innermost(kind.__init__)  # beneath what somebody has put over it
            if is_own(construct, "kazoo"):
                instance = kind.__new__(kind)
                construct(instance, *arguments)
                self._built[path] = instance
        if self._built[path] is None:
            raise CannotJudgeError
        return self._built[path]

    def _arguments(self, path: str) -> tuple[Any, ...]:
        if path in _WITHOUT_ARGUMENTS:
            return ()
        client = self._instance("kazoo.client.KazooClient", sys.modules["kazoo.client"].KazooClient)
        return (client, *_BESIDES_CLIENT.get(path, ("/path",)))


_WITHOUT_ARGUMENTS: Final = ("kazoo.client.KazooClient", "kazoo.retry.KazooRetry")
_BESIDES_CLIENT: Final[dict[str, tuple[object, ...]]] = {
    "kazoo.protocol.connection.ConnectionHandler": (None,),
    # Without an identifier it would look the name of this machine up.
    "kazoo.recipe.barrier.DoubleBarrier": ("/path", 2, "check"),
}
"""What constructors are called with after the client; if nothing is said here, it is a path. The
client was never started."""


def _takes(owner: Any, names: str, _: str) -> bool:
    arguments = names.split()
    positional = [None for argument in arguments if not argument.endswith("=")]
    named = {argument[:-1]: None for argument in arguments if argument.endswith("=")}
    try:
        inspect.signature(owner).bind(*positional, **named)
    except TypeError:
        return False
    return True


def _begins(owner: Any, names: str, package: str) -> bool:
    code, expected = _code(owner, package), tuple(names.split())
    return code.co_varnames[: min(len(expected), code.co_argcount)] == expected


def _sets(owner: Any, name: str, _: str) -> bool:
    functions = (innermost(value) for base in owner.__mro__ for value in tuple(vars(base).values()))
    return any(
        name in code.co_names
        for function in functions
        if type(function) is FunctionType
        for code in _with_inner(function.__code__)
    )


def _shares(owner: Any, name: str, package: str) -> bool:
    return name in _code(owner, package).co_cellvars


def _uses(owner: Any, name: str, package: str) -> bool:
    return any(name in _names(code) for code in _with_inner(_code(owner, package)))


_CHECKS: Final[dict[Kind, Callable[[Any, str, str], bool]]] = {
    Kind.has: lambda owner, name, _: hasattr(owner, name),
    Kind.sets: _sets,
    Kind.begins: _begins,
    Kind.takes: _takes,
    Kind.shares: _shares,
    Kind.uses: _uses,
}
"""How each kind is checked of an owner, for a name, in a package. ``keeps`` needs an instance."""


def _code(function: Any, package: str) -> CodeType:
    function = innermost(function)
    if not is_own(function, package):
        raise CannotJudgeError
    code: CodeType = function.__code__
    return code


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)


def _names(code: CodeType) -> tuple[str, ...]:
    return (code.co_name, *code.co_names, *code.co_varnames, *code.co_cellvars, *code.co_freevars)
