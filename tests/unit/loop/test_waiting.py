"""Waking who waits in another thread's event loop."""

from __future__ import annotations

import threading

from gevent import get_hub
from gevent.hub import Hub

from kazoo_gevent_patch.loop.hubs import call_in_hub


def test_news_for_an_event_loop_that_is_being_destroyed_are_dropped() -> None:
    """Its thread ends: who has the news goes on, to tell others."""
    hubs: list[Hub] = []

    def destroy_the_loop() -> None:
        hub = get_hub()
        loop = hub.loop
        hub.destroy(destroy_loop=True)
        hub.loop = loop  # destroy() forgets it last
        hubs.append(hub)

    thread = threading.Thread(target=destroy_the_loop)
    thread.start()
    thread.join()
    called: list[bool] = []
    call_in_hub(hubs[0], called.append, True)
    assert called == []
