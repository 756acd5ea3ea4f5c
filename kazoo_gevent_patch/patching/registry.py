"""Applies the rows of the patch table and undoes them; the only room that patches.

A row is idle, armed (wanted, but its module is not imported yet) or applied. wrapt cannot
take an import hook back, so a hook looks up whether its rows are still wanted; and wrapt
calls a hook registered for a half imported module at once, so a module that is being
imported is waited for instead.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import wrapt

from kazoo_gevent_patch.errors import UnsupportedKazooError
from kazoo_gevent_patch.loop.forks import ForkSafeLock
from kazoo_gevent_patch.patching.table import Patch

log = logging.getLogger("kazoo_gevent_patch")


@dataclass(frozen=True)
class Applied:
    """What undoing a row needs."""

    patch: Patch
    owner: Any
    attribute: str
    original: object
    replacement: object
    inherited: bool
    """The owner had no such attribute of its own."""

    def undo(self) -> bool:
        """Put the original back; return False if somebody has put something over ours."""
        if wrapt.resolve_path(self.owner, self.attribute)[2] is not self.replacement:
            return False
        if self.inherited:
            delattr(self.owner, self.attribute)
        else:
            wrapt.apply_patch(self.owner, self.attribute, self.original)
        return True


_WraptBoundWrapper: Any = wrapt.BoundFunctionWrapper
_WraptWrapper: Any = wrapt.FunctionWrapper


class _BoundWrapper(_WraptBoundWrapper):  # type: ignore[misc]
    """A wrapped method of an instance, for what takes methods apart and puts them together.

    ``weakref.WeakMethod``, with which libraries for signals keep methods, asks a method for
    its ``__func__`` and calls its class with that and the instance. wrapt's own would answer
    with the original, and its class cannot be called so.
    """

    def __new__(cls, wrapped: Any, instance: Any, *rest: Any) -> Any:
        return super().__new__(cls) if rest else wrapped.__get__(instance, type(instance))

    def __init__(self, wrapped: Any, instance: Any, *rest: Any) -> None:
        if rest:
            super().__init__(wrapped, instance, *rest)

    @property
    def __func__(self) -> Any:
        return self._self_parent


class _Wrapper(_WraptWrapper):  # type: ignore[misc]
    """What takes the place of a function."""

    __bound_function_wrapper__ = _BoundWrapper


class Registry:
    """The state of a patch table.

    Every change of state happens under one lock, which is never held while waiting for an
    import: an import may be waiting for it in a hook.
    """

    def __init__(self, patches: Iterable[Patch]) -> None:
        self.patches = tuple(patches)
        self.applied: dict[Patch, Applied] = {}
        self.left_alone: dict[Patch, str] = {}
        self.wanted = False
        self._covered: dict[Patch, Applied] = {}
        self._hooked: set[str] = set()
        self._registering = threading.local()
        self._lock = ForkSafeLock()

    def apply(self) -> bool:
        """Apply the rows of the modules that are imported and arm the others.

        Returns whether any row was applied by this call. Raises ``UnsupportedKazooError``
        when a row does not fit, and then everything is as it was.
        """
        with self._lock:
            wanted, self.wanted = self.wanted, True
            before = set(self.applied)
        try:
            for name in dict.fromkeys(patch.module for patch in self.patches):
                module = self._imported(name)
                if module is not None:
                    self._apply_module(module)
        except BaseException:
            if not wanted:
                self.undo()
            raise
        return bool(set(self.applied) - before)

    def undo(self) -> None:
        """Undo what is applied, in reverse order, and disarm the rest."""
        with self._lock:
            self.wanted = False
            self.left_alone.clear()
            for patch, applied in reversed(self.applied.items()):
                if not applied.undo():
                    self._covered[patch] = applied
                    self.left_alone[patch] = "something else has been put over it since"
                    log.warning(
                        "%s is not put back: something else has been put over it since",
                        patch.name,
                    )
            self.applied.clear()

    def _imported(self, name: str) -> ModuleType | None:
        """Return the module if it is imported; else have its rows applied when it is."""
        if name not in sys.modules and name not in self._hooked:
            self._hooked.add(name)
            self._registering.fired = False
            self._registering.name = name
            wrapt.register_post_import_hook(partial(self._on_import, name), name)
            self._registering.name = None
            if self._registering.fired:
                self._hooked.discard(name)
        module = sys.modules.get(name)
        if module is not None and _half_imported(module):
            # Another thread imports it: importing it too waits for that.
            module = importlib.import_module(name)
        if module is not None and _half_imported(module):
            for patch in self._rows(name):
                self.left_alone[patch] = (
                    "its module is being imported by the code that called patch_all(); "
                    "call patch_all() again afterwards"
                )
            return None
        return module

    def _on_import(self, name: str, module: ModuleType) -> None:
        """Apply the rows of a module that has just been imported; wrapt calls this."""
        if getattr(self._registering, "name", None) == name:
            # Not an import, but our own registration: the module came between two lines.
            self._registering.fired = True
            return
        self._hooked.discard(name)
        try:
            self._apply_module(module)
        except Exception as error:
            log.exception("kazoo is not patched: a change does not fit")
            with self._lock:
                self.undo()
                self.wanted = True
                self.left_alone.update(dict.fromkeys(self.patches, str(error)))

    def _rows(self, module: str) -> Iterator[Patch]:
        return (patch for patch in self.patches if patch.module == module)

    def _apply_module(self, module: ModuleType) -> None:
        with self._lock:
            if not self.wanted:
                return
            for row in self._rows(module.__name__):
                if row not in self.applied:
                    self.applied[row] = self._make(row, module)
                    self.left_alone.pop(row, None)

    def _make(self, patch: Patch, module: ModuleType) -> Applied:
        try:
            owner, attribute, original = wrapt.resolve_path(module, patch.target)
        except AttributeError as error:
            raise UnsupportedKazooError(
                f"This kazoo has no {patch.name}; kazoo_gevent_patch cannot patch it"
            ) from error
        covered = self._covered.pop(patch, None)
        if covered is not None and _is_under(covered.replacement, original):
            return covered
        room, _, function = patch.replacement.partition(":")
        replace = getattr(importlib.import_module(f"kazoo_gevent_patch.changes.{room}"), function)
        replacement: object
        if patch.how == "wrap":
            # Where somebody has wrapped our wrapper, undo leaves it; disabled, it does nothing.
            replacement = _Wrapper(original, replace, enabled=self._is_wanted)
        else:
            replacement = replace(original, owner)
        inherited = isinstance(owner, type) and attribute not in vars(owner)
        wrapt.apply_patch(owner, attribute, replacement)
        return Applied(patch, owner, attribute, original, replacement, inherited)

    def _is_wanted(self) -> bool:
        return self.wanted


def _half_imported(module: ModuleType) -> bool:
    return bool(getattr(module.__spec__, "_initializing", False))


def _is_under(wrapper: object, outermost: object) -> bool:
    """Return whether ``wrapper`` is in the chain of wrappers that begins with ``outermost``."""
    while outermost is not None:
        if outermost is wrapper:
            return True
        outermost = getattr(outermost, "__wrapped__", None)
    return False
