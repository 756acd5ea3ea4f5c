"""Has the helper thread answer ``kazoo-gevent-patch inspect`` while a handler runs.

Once a second it looks for the command. Where sessions are not to be kept, there is no such thread
unless ``KAZOO_GEVENT_PATCH_INSPECT=1`` asks for it.
"""

from __future__ import annotations

from kazoo_gevent_patch.heartbeats.helper import helper
from kazoo_gevent_patch.heartbeats.sessions import is_uwsgi_master
from kazoo_gevent_patch.inspection.visits import is_possible, visitor
from kazoo_gevent_patch.loop import forks
from kazoo_gevent_patch.settings.environment import INSPECT
from kazoo_gevent_patch.settings.options import keep_choice
from kazoo_gevent_patch.weak import IdentitySet

_handlers = IdentitySet()
"""Those that run."""


def begin(handler: object) -> None:
    """Answer, from now on and as long as any handler runs, if that is wanted."""
    wanted = INSPECT.is_on() if INSPECT.text() else bool(keep_choice())
    if wanted and is_possible() and not is_uwsgi_master():
        _handlers.add(handler)
        helper.add(visitor, 0.0)


def end(handler: object) -> None:
    """Answer no more, if this was the last handler that runs."""
    if _handlers.discard(handler) and not _handlers:
        helper.remove(visitor)
        # Another thread may have begun meanwhile: it stores first, and this looks afterwards.
        if _handlers:
            helper.add(visitor, 0.0)


def _forget(_: object) -> None:
    for handler in _handlers:
        _handlers.discard(handler)


forks.hooks.append(_forget)
