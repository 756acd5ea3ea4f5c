"""The handler that a client runs on, and the objects that it makes.

Those are results, events, locks, queues, greenlets and callback workers, with the semantics of
kazoo's gevent handler and of its default one. Bytes and descriptors live in ``wire``; how a
greenlet or a thread waits lives in ``loop``.
"""
