"""The entry point that gevent calls when it has patched the standard library.

With ``KAZOO_GEVENT_PATCH=1`` in the environment, ``gevent.monkey.patch_all()`` switches the
patch on; the program needs no line for it. gunicorn's gevent workers call it by themselves.

Every gevent program of a Python environment imports this module, whether it uses kazoo or not.
So the module imports nothing of this package, and nothing that this package needs, before the
variable asks for it.
"""

from __future__ import annotations

import os


def did_patch_all(event: object) -> None:
    """Patch kazoo if the environment says so. Logs, and never raises.

    :param event: gevent's ``GeventDidPatchAllEvent``; not used.
    """
    if os.environ.get("KAZOO_GEVENT_PATCH", "0") in ("", "0"):
        return
    try:
        _switch_on()
    except Exception as error:
        # An error here would come out of gevent.monkey.patch_all().
        import logging

        from kazoo_gevent_patch.errors import CannotPatchError

        says_why = isinstance(error, (CannotPatchError, ModuleNotFoundError))
        logging.getLogger("kazoo_gevent_patch").error(
            "KAZOO_GEVENT_PATCH=1, but kazoo could not be patched: %s",
            error,
            exc_info=not says_why,
        )


def _switch_on() -> None:
    from kazoo_gevent_patch.settings.environment import PATCH

    if PATCH.is_on():
        from kazoo_gevent_patch.patching.switch import patch_all

        patch_all()
