"""What keeps sessions alive while the event loop stands still: a helper thread, one a process.

That a loop stands still is found out in ``stalls``; how bytes get on their way is the business
of ``wire``. Nothing here uses gevent, or runs in an event loop.
"""
