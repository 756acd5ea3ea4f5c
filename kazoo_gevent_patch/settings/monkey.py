"""Says so when clients run in a program that gevent has not monkey patched."""

from __future__ import annotations

import logging
from itertools import count
from typing import Final

from gevent.monkey import is_module_patched

log = logging.getLogger("kazoo_gevent_patch")

MODULES: Final = ("socket", "ssl", "select", "selectors", "threading", "time", "queue")
"""The standard modules whose patching by gevent matters to a kazoo program."""

_looks = count()  # next() is atomic: of two threads one gets the zero


def unpatched() -> list[str]:
    """Return which of ``MODULES`` gevent has not patched."""
    return [name for name in MODULES if not is_module_patched(name)]


def warn_if_unpatched() -> None:
    """Warn, once in a process, of what stops the event loop, and tell the line to add."""
    # What gevent has patched stays patched, so one look is enough.
    missing = unpatched() if next(_looks) == 0 else []
    if missing:
        log.warning(
            "gevent has not patched %s: this client does not block, but time.sleep(), locks of "
            "threading and sockets of other libraries do, and stop the event loop. Where that is "
            "not meant, add at the very top of the program: "
            "import gevent.monkey; gevent.monkey.patch_all()",
            "the standard library" if missing == list(MODULES) else ", ".join(missing),
        )
