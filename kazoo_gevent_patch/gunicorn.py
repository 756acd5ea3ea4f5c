"""Server hooks for gunicorn.

``from kazoo_gevent_patch.gunicorn import post_fork`` in its configuration file is enough:
gunicorn takes the names in its configuration file for its settings, so that import is a
whole configuration.
"""

from __future__ import annotations

from typing import Any

from kazoo_gevent_patch.patching.switch import patch_all


def post_fork(server: Any, worker: Any) -> None:
    """Patch kazoo in a worker of gunicorn's gevent classes; with any other, only say so.

    gunicorn calls this in the new worker, before the worker has gevent patch the standard
    library: ``patch_all()`` does not mind, and imports nothing that would.

    :param server: gunicorn's arbiter; not used.
    :param worker: gunicorn's worker, whose log is written to.
    """
    if any(base.__module__ == "gunicorn.workers.ggevent" for base in type(worker).__mro__):
        patch_all()
    else:
        worker.log.info(
            "kazoo_gevent_patch leaves kazoo alone: %s is not a gevent worker",
            type(worker).__name__,
        )
