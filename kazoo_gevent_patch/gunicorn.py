"""Server hooks for gunicorn.

``from kazoo_gevent_patch.gunicorn import post_fork`` in its configuration file is enough:
gunicorn takes the names in its configuration file for its settings, so that import is a
whole configuration.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from kazoo_gevent_patch.patching.status import Status
from kazoo_gevent_patch.patching.switch import patch_all


def post_fork(server: Any, worker: Any) -> None:
    """Patch kazoo in a worker of gunicorn's gevent classes; with any other, only say so.

    Either way the worker's log has one line, at the level ``INFO``: that the patch is on, with the
    options and the versions, or why it is not.

    gunicorn calls this in the new worker, before the worker has gevent patch the standard
    library: ``patch_all()`` does not mind, and imports nothing that would.

    :param server: gunicorn's arbiter; not used.
    :param worker: gunicorn's worker, whose log is written to.
    """
    if any(base.__module__ == "gunicorn.workers.ggevent" for base in type(worker).__mro__):
        worker.log.info("%s", _summary(patch_all()))
    else:
        worker.log.info(
            "kazoo_gevent_patch leaves kazoo alone: %s is not a gevent worker",
            type(worker).__name__,
        )


def _summary(status: Status) -> str:
    if not status.patched or status.refused:
        return f"kazoo_gevent_patch is off: {status.refused}"
    options = {**asdict(status.options), "keep_sessions": status.keep_sessions}
    chosen = ", ".join(f"{name}={value}" for name, value in options.items())
    versions = ", ".join(f"{name} {version}" for name, version in status.versions.items())
    return f"kazoo_gevent_patch is on ({chosen}), with {versions}"
