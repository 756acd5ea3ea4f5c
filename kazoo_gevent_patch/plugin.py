"""The entry point that gevent calls when it has patched the standard library.

With ``KAZOO_GEVENT_PATCH=1`` in the environment, ``gevent.monkey.patch_all()`` switches the
patch on, without a line in the program. gunicorn's gevent workers call it by themselves.
"""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import Final

VARIABLE: Final = "KAZOO_GEVENT_PATCH"

log = logging.getLogger("kazoo_gevent_patch")


def did_patch_all(event: object) -> None:
    """Patch kazoo if the environment says so. Logs, and never raises.

    :param event: gevent's ``GeventDidPatchAllEvent``; not used.
    """
    value = os.environ.get(VARIABLE, "")
    if value == "1":
        _switch_on()
    elif value not in ("", "0"):
        _warn_once(value)


def _switch_on() -> None:
    try:
        from kazoo_gevent_patch import patch_all

        patch_all()
    except Exception:
        # An error here would come out of gevent.monkey.patch_all().
        log.exception("%s=1, but kazoo could not be patched", VARIABLE)


@cache
def _warn_once(value: str) -> None:
    log.warning(
        "%s=%r is not understood: 1 switches the patch on, 0 or nothing leaves it off",
        VARIABLE,
        value,
    )
