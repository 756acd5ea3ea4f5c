"""Knows when a module of kazoo has been imported: for the first time, anew, or by a reload.

``wrapt`` has hooks for that, but calls each of them once, holds on to it for ever, and does not
notice a reload. Here a finder on ``sys.meta_path`` lends the loader of a watched module another
``exec_module``, which tells of the end of each execution in the thread that imports. All other
imports cost one look into a set.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from gevent import getcurrent


class _Loader:
    """Stands for a module's loader until the module is executed."""

    def __init__(self, loader: Any, watch: ImportWatch) -> None:
        self._loader = loader
        self._watch = watch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module as its own loader does; then tell the watch."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # nothing of this is left in the module
        module.__loader__ = self._loader
        name = module.__name__
        self._watch.executing.add(name)
        try:
            self._loader.exec_module(module)
            self._watch.tell(name)
        finally:
            self._watch.executing.discard(name)


class ImportWatch:
    """Calls ``tell`` with the name of each watched module that has just been executed.

    The module is whole by then, but its importer still holds the import system's lock for it. So
    ``tell`` may import only what does not, in turn, import the module; and it must not raise.
    """

    def __init__(self, names: Iterable[str], tell: Callable[[str], None]) -> None:
        self._names = frozenset(names)
        self.tell = tell
        self.executing: set[str] = set()
        """The watched modules that are being executed now, and will be told of."""
        self._asking: set[object] = set()
        """The greenlets that ask whether a module is imported. Each native thread is one too."""

    def begin(self) -> None:
        """Watch, from the next import on."""
        if not any(finder is self for finder in sys.meta_path):
            sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a watched module as the other finders do, and put our loader round its own."""
        if self._asking and name.partition(".")[0] == "kazoo" and getcurrent() in self._asking:
            raise ModuleNotFoundError(f"{name} is not imported", name=name)
        if name not in self._names:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find and find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module") and not isinstance(spec.loader, _Loader):
                    spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                return spec
        return None

    def look(self, name: str) -> Import:
        """Return how far the import of the module is; wait while another thread imports it.

        Imports nothing: a module that is not there is asked for, so that an import that is just
        beginning elsewhere is waited for, but it is not found.
        """
        if not is_whole(name):
            self._asking.add(getcurrent())
            try:
                importlib.import_module(name)
            except ImportError:
                return Import.absent
            except RuntimeError:
                return Import.under_way  # two imports wait for each other, and Python says so
            finally:
                self._asking.discard(getcurrent())
        return Import.whole if is_whole(name) else Import.under_way


class Import(Enum):
    """How far the import of a module is."""

    absent = "it is not imported"
    under_way = "it is being imported by the code that asks"
    whole = "it is imported"


def is_whole(name: str) -> bool:
    """Return whether the module is imported, and its import has ended."""
    spec = getattr(sys.modules.get(name), "__spec__", None)
    return name in sys.modules and not getattr(spec, "_initializing", False)
