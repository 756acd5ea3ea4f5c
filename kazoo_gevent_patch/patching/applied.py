"""A row of the patch table and what it was applied to: how it is put in place and taken back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import wrapt

from kazoo_gevent_patch.functions import innermost, is_own
from kazoo_gevent_patch.patching.table import Patch


@dataclass(frozen=True, eq=False)
class Applied:
    """A row that is applied, or about to be, and what undoing it needs."""

    patch: Patch
    owner: Any
    attribute: str
    original: object
    replacement: object
    inherited: bool
    """The owner had no such attribute of its own."""

    def current(self) -> object:
        """Return what the owner has now."""
        return wrapt.resolve_path(self.owner, self.attribute)[2]

    def is_there(self) -> bool:
        """Return whether the replacement is in place, be it under something of somebody else's.

        What does not tell what it is put over counts as put over the replacement.
        """
        current = self.current()
        if self.patch.how == "value":
            return current is self.replacement
        inner = innermost(current, self.replacement)
        return inner is self.replacement or not is_own(inner, "kazoo")

    def apply(self) -> partial[None]:
        """Return the call that puts the replacement in place."""
        return partial(setattr, self.owner, self.attribute, self.replacement)

    def undo(self) -> partial[None]:
        """Return the call that puts the original back."""
        if self.inherited:
            return partial(delattr, self.owner, self.attribute)
        return partial(setattr, self.owner, self.attribute, self.original)
