"""The errors of this package."""

from gevent.exceptions import BlockingSwitchOutError


class KazooGeventPatchError(Exception):
    """The base of the errors that this package raises as its own."""


class UnsupportedKazooError(KazooGeventPatchError):
    """The kazoo that is installed, or imported, is not one that can be patched."""


class CannotWaitError(KazooGeventPatchError, BlockingSwitchOutError, RuntimeError):
    """A call would wait for the very greenlet it is made in.

    In the event loop itself gevent raises a ``BlockingSwitchOutError``, which this one is too.
    """


class EventLoopBlockedError(KazooGeventPatchError):
    """The event loop that a client lives in does not run."""
