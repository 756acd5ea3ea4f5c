"""gunicorn reads its settings from here; the import is the line that puts kazoo on gevent."""

from kazoo_gevent_patch.gunicorn import post_fork  # noqa: F401 - a setting of gunicorn's

worker_class = "gevent"
workers = 2
preload_app = True  # the client is started once, in the master, and inherited by the workers
