"""What the rows of the contract are made of."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from kazoo_gevent_patch.patching.versions import TESTED


class Kind(Enum):
    """What it means that a name is there, and how a misfit is told."""

    has = "there is no {path}.{name}"
    """The owner, a class or a module, has the attribute."""

    keeps = "an instance of {path} has no {name}"
    """A new instance has the attribute."""

    sets = "no method of {path} sets {name}"
    """A method of the class sets the attribute. For what cannot be built without a server."""

    begins = "{path} does not take, in this order, {name}"
    """The function's first parameters."""

    takes = "{path} cannot be called with {name}"
    """The owner can be called so: positional arguments, and named ones with a ``=``."""

    shares = "{path} has no variable {name} that its inner function shares"
    """A local variable of the function that one of its inner functions uses too."""

    uses = "{path} has no name {name} in its code"
    """The function, or one inside it, uses the name, or is called so."""


class Need(NamedTuple):
    """Names of one owner that serve the same purpose."""

    owner: str
    """``module:path`` of a class or a function; ``module:`` for the module itself."""

    kind: Kind

    names: str
    """Separated by blanks. ``a|b`` is one or the other, by the release."""

    why: str
    """What this package does with them."""

    @property
    def module(self) -> str:
        """The module's name."""
        return self.owner.partition(":")[0]

    @property
    def in_module(self) -> str:
        """The owner's dotted path in the module."""
        return self.owner.partition(":")[2]

    @property
    def since(self) -> str:
        """The first release that has all of them: the oldest that this package works with."""
        return TESTED[self.module.partition(".")[0]][0]

    @property
    def path(self) -> str:
        """The owner's full name."""
        return self.owner.replace(":", ".").rstrip(".")
