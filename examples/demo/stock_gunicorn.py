"""What people write by hand into gunicorn's configuration: the stock handler for every client."""

from typing import Any


def post_fork(server: object, worker: object) -> None:
    import gevent.monkey

    gevent.monkey.patch_all()

    from kazoo.client import KazooClient
    from kazoo.handlers.gevent import SequentialGeventHandler

    original_init = KazooClient.__init__

    def init(self: KazooClient, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("handler", SequentialGeventHandler())
        original_init(self, *args, **kwargs)

    KazooClient.__init__ = init
