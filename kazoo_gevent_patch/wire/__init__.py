"""The session's connection: connecting, sending, receiving, ``select`` and the wake channel.

All that touches a socket or a descriptor lives here. What the bytes mean is kazoo's business, and
how a greenlet waits lives in ``loop``.
"""
