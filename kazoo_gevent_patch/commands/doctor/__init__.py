"""``kazoo-gevent-patch doctor``: whether this package works here, and what to do if not."""
