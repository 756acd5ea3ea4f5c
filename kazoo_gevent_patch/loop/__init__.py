"""How code waits and is woken, in gevent's event loop and in native threads.

Here a fork and the end of a native thread are noticed too, for both end what waits. Nothing here
knows of kazoo.
"""
