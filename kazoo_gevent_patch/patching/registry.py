"""Applies the rows of the patch table and undoes them; the only room that patches.

All rows apply together, when ``kazoo.client`` has been imported: it imports all that the table
names, and without it there is no client. So whether this kazoo fits is decided once, for all of
it, before anything is changed. A module that is imported anew later gets its rows anew.

Patching has three steps: import what is needed, decide what to write, write it. The lock is held
for the last one alone, which reads and writes attributes and does nothing else: no import and no
code of others ever runs under it. So a thread that holds it never waits for anything.
"""

from __future__ import annotations

import importlib
import logging
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

import wrapt

from kazoo_gevent_patch.errors import UnsupportedKazooError
from kazoo_gevent_patch.loop.atomic import atomically
from kazoo_gevent_patch.loop.forks import ForkSafeLock
from kazoo_gevent_patch.patching import rooms
from kazoo_gevent_patch.patching.applied import Applied
from kazoo_gevent_patch.patching.around import around
from kazoo_gevent_patch.patching.check import misfits
from kazoo_gevent_patch.patching.contract import CONTRACT
from kazoo_gevent_patch.patching.imports import Import, ImportWatch, is_whole
from kazoo_gevent_patch.patching.needs import Need
from kazoo_gevent_patch.patching.table import Patch
from kazoo_gevent_patch.patching.versions import does_not_fit
from kazoo_gevent_patch.settings import options as settings
from kazoo_gevent_patch.settings.options import Options

log = logging.getLogger("kazoo_gevent_patch")

TRIGGER: Final = "kazoo.client"
"""The module whose import applies all rows. No room of ours may import it: its importer holds
the import system's lock for it while the rooms are imported."""

TRIES: Final = 100
"""How often kazoo may change between the decision and the writing."""

_MOCKED: Final = (
    "A mock stands in the place of {}: call patch_all() before it is put there, such as by "
    "importing the application before the test"
)
_RESTLESS: Final = (
    "What is to be changed in kazoo is another object each time that it is looked at: something "
    "stands in the place of one of its classes"
)


class Registry:
    """The state of a patch table, and the requests for it to be in force.

    Each request has a key. The last one's options hold; without any, nothing is patched.
    """

    def __init__(self, patches: Iterable[Patch], contract: Iterable[Need] = CONTRACT) -> None:
        self.patches = tuple(patches)
        self.refusal = ""
        """Why kazoo is left alone although it was asked for."""
        self.since: float | None = None
        """When it was last switched on or off, in seconds since the epoch; None if never."""
        self.applied: tuple[Applied, ...] = ()
        self._covered: tuple[Applied, ...] = ()
        """What was not put back: something else was in its place."""
        self._left: list[Applied] = []
        """Those of them that nobody was told of yet."""
        self._requests: dict[object, Options] = {}
        self._contract = tuple(contract)
        modules = {patch.module for patch in self.patches}
        self.watch = ImportWatch({TRIGGER, *modules}, self._on_import)
        self._lock = ForkSafeLock()

    @property
    def wanted(self) -> bool:
        """Whether anybody wants kazoo patched."""
        return bool(self._requests)

    def requested(self, key: object) -> Options | None:
        """Return the options of a request; None if there is none of this key."""
        return self._requests.get(key)

    def request(self, key: object, options: Options) -> bool:
        """Have the rows applied, now or when kazoo is imported, with these options.

        Returns whether any row was applied by this call. Raises ``UnsupportedKazooError`` when
        kazoo does not fit, and then all is as it was.
        """
        self.watch.begin()
        for _ in range(TRIES):
            state = self.watch.look(TRIGGER)
            rows = self._decide() if state is Import.whole else []
            with self._lock:
                # A thread that imports stores the module first, and then looks for requests.
                # Here it is the other way round, so that one of the two sees the other.
                came = state is Import.absent and TRIGGER in sys.modules
                if not came and self._still_fit(rows):
                    others = {k: v for k, v in self._requests.items() if k is not key}
                    self._write(rows, {**others, key: options})
                    return bool(rows)
        raise UnsupportedKazooError(_RESTLESS)

    def withdraw(self, key: object, instead: Options | None = None) -> None:
        """Take a request back, or put another in its place; without any, undo the rows."""
        with self._lock:
            if key in self._requests:
                requests = {k: v for k, v in self._requests.items() if k is not key}
                if instead is not None:
                    requests = {key: instead, **requests}
                self._set_requests(requests)
        self._warn_of_covered()

    def withdraw_all(self) -> None:
        """Take all requests back, and undo the rows."""
        with self._lock:
            self.refusal = ""
            self._set_requests({})
        self._warn_of_covered()

    def in_effect(self) -> dict[Patch, Applied]:
        """Return the rows that are in effect in the kazoo that is imported now."""
        return self._in_effect(self.applied)

    def covered(self) -> list[Patch]:
        """Return the rows that are undone, but under something of somebody else's."""
        return [row.patch for row in self._covered if row.is_there()]

    def _in_effect(self, candidates: Iterable[Applied]) -> dict[Patch, Applied]:
        owners = {patch: self._owner(patch) for patch in self.patches}
        return {
            row.patch: row
            for row in candidates
            if row.owner is owners[row.patch] and row.is_there()
        }

    @staticmethod
    def _owner(patch: Patch) -> object:
        try:
            return wrapt.resolve_path(sys.modules[patch.module], patch.target)[0]
        except (KeyError, AttributeError):
            return None

    def _decide(self) -> list[Applied]:
        """Import what is needed, and return the rows to apply."""
        self._refuse_mocks()
        done = self._in_effect((*self._covered, *self.applied))
        if len(done) == len(self.patches):
            return [row for row in done.values() if row in self._covered]
        wrong = list(self._find_misfits())
        if wrong:
            raise UnsupportedKazooError(does_not_fit(wrong))
        if not done:
            rooms.forget_outdated()
        rows = list(done.values())
        for patch in self.patches:
            if patch not in done:
                try:
                    rows.append(self._make(patch))
                except Exception as error:
                    wrong.append(f"{patch.name} cannot be changed ({error!r})")
        if wrong:
            raise UnsupportedKazooError(does_not_fit(wrong))
        return [row for row in rows if row not in self.applied]

    def _refuse_mocks(self) -> None:
        mock = sys.modules.get("unittest.mock")
        if mock is not None:
            for patch in self.patches:
                if isinstance(self._owner(patch), mock.NonCallableMock):
                    raise UnsupportedKazooError(_MOCKED.format(patch.name.rpartition(".")[0]))

    def _find_misfits(self) -> Iterator[str]:
        names = (*(patch.module for patch in self.patches), *(n.module for n in self._contract))
        for name in dict.fromkeys(names):
            try:
                # What is there may be half imported, by another thread: this waits for it.
                importlib.import_module(name)
            except ImportError as error:
                yield f"there is no module {name} ({error})"
        for patch in self.patches:
            if patch.module in sys.modules and self._owner(patch) is None:
                yield f"there is no {patch.name}"
        yield from misfits(need for need in self._contract if need.module in sys.modules)

    def _make(self, patch: Patch) -> Applied:
        owner, attribute, original = wrapt.resolve_path(sys.modules[patch.module], patch.target)
        replace = rooms.function(patch.replacement)
        replacement = (
            # Asked at each call, and so it is written in C: an empty dictionary says no.
            around(original, replace, partial(getattr, self, "_requests"))
            if patch.how == "wrap"
            else replace(original, owner)
        )
        inherited = isinstance(owner, type) and attribute not in vars(owner)
        return Applied(patch, owner, attribute, original, replacement, inherited)

    def _still_fit(self, rows: list[Applied]) -> bool:
        """Return whether nobody has changed since what the rows are about to change."""
        return all(row in self._covered or row.current() is row.original for row in rows)

    def _write(self, rows: list[Applied], requests: dict[object, Options]) -> None:
        before = self._requests, self.applied, self._covered, self.refusal, self.since
        new = [row for row in rows if row not in self._covered]
        try:
            self._set_requests(requests)
            atomically(*(row.apply() for row in new))  # so that nobody sees a half patched kazoo
            self.applied = (*self.applied, *rows)
            self._covered = ()  # what of it is not among the rows is gone
            self.refusal = ""
        except BaseException:
            self._requests, self.applied, self._covered, self.refusal, self.since = before
            self._put_in_force()
            atomically(*(row.undo() for row in reversed(new) if row.current() is not row.original))
            raise

    def _set_requests(self, requests: dict[object, Options]) -> None:
        if bool(requests) is not self.wanted:
            self.since = time.time()
        self._requests = requests
        self._put_in_force()
        if not requests:
            self._undo()

    def _put_in_force(self) -> None:
        options = list(self._requests.values())
        settings.put_in_force(options[-1] if options else None)

    def _undo(self) -> None:
        rows = list(reversed(self.applied))
        clear = [row for row in rows if row.current() is row.replacement]
        atomically(*(row.undo() for row in clear))
        self._left = [row for row in rows if row not in clear]
        self.applied, self._covered = (), (*self._covered, *self._left)

    def _warn_of_covered(self) -> None:
        left, self._left = self._left, []
        for row in left:
            if row.is_there():
                log.warning(
                    "%s is not put back: something else has been put over it since", row.patch.name
                )

    def _on_import(self, name: str) -> None:
        """Apply the rows of a module that has just been imported, in the thread that imports."""
        if name != TRIGGER and not is_whole(TRIGGER):
            return  # it is for the trigger's turn
        try:
            for _ in range(TRIES):
                rows = self._decide() if self.wanted else []
                with self._lock:
                    if not self.wanted:
                        return
                    if self._still_fit(rows):
                        self._write(rows, self._requests)
                        return
            raise UnsupportedKazooError(_RESTLESS)
        except Exception as error:
            known = isinstance(error, UnsupportedKazooError)
            log.error("kazoo is not patched: %s", error, exc_info=not known)
            with self._lock:
                self._set_requests({})
                self.refusal = str(error)
            self._warn_of_covered()
