"""What a person types: ``kazoo-gevent-patch run``, ``doctor`` and ``inspect``.

The commands use everything below and nothing below knows of them. What a command finds out about
the process or a server lives here; what it switches on lives in ``patching``.
"""
