"""The errors of this package."""

from gevent.exceptions import BlockingSwitchOutError


class KazooGeventPatchError(Exception):
    """The base of the errors that this package raises as its own."""


class CannotPatchError(KazooGeventPatchError):
    """Kazoo cannot be patched in this process; the text says why, and what to do."""


class UnsupportedKazooError(CannotPatchError):
    """The kazoo that is installed, or imported, is not one that can be patched."""


class UnsupportedPlatformError(CannotPatchError):
    """The interpreter, or the system that it runs on, lacks what this package needs."""


class CannotWaitError(KazooGeventPatchError, BlockingSwitchOutError, RuntimeError):
    """A call would wait for the very greenlet it is made in.

    In the event loop itself gevent raises a ``BlockingSwitchOutError``, which this one is too.
    """


class EventLoopBlockedError(KazooGeventPatchError):
    """The event loop that a client lives in does not run."""
