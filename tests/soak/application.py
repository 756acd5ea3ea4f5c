"""The program under test, in a process of its own: the workers, on one handler.

`python -m tests.soak.application HANDLER DIRECTORY SEED SESSION_TIMEOUT HOSTS`. It works until
there is a file `stop` in the directory, and writes its history there.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

HANDLERS: Final = ("ours", "default")


def _prepare(handler: str) -> None:
    if handler == "ours":
        import gevent.monkey

        gevent.monkey.patch_all()

        from kazoo_gevent_patch import patch_all

        patch_all()


if __name__ == "__main__":
    _prepare(sys.argv[1])
    import_module("tests.soak.crew").main(*sys.argv[1:])
