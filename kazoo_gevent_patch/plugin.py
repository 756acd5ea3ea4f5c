"""The entry point that gevent calls when it has patched the standard library.

With ``KAZOO_GEVENT_PATCH=1`` in the environment, ``gevent.monkey.patch_all()`` switches the
patch on; the program needs no line for it. gunicorn's gevent workers call it by themselves.
"""

from __future__ import annotations

import logging

from kazoo_gevent_patch.errors import CannotPatchError
from kazoo_gevent_patch.settings.environment import PATCH

log = logging.getLogger("kazoo_gevent_patch")


def did_patch_all(event: object) -> None:
    """Patch kazoo if the environment says so. Logs, and never raises.

    :param event: gevent's ``GeventDidPatchAllEvent``; not used.
    """
    if PATCH.is_on():
        _switch_on()


def _switch_on() -> None:
    try:
        from kazoo_gevent_patch.patching.switch import patch_all

        patch_all()
    except CannotPatchError as error:
        # An error here would come out of gevent.monkey.patch_all().
        log.error("%s=1, but kazoo could not be patched: %s", PATCH.variable, error)
    except Exception:
        log.exception("%s=1, but kazoo could not be patched", PATCH.variable)
