"""The errors of this package."""


class KazooGeventPatchError(Exception):
    """The base of the errors that this package raises as its own."""


class UnsupportedKazooError(KazooGeventPatchError):
    """The kazoo that is installed, or imported, is not one that can be patched."""
