"""The wake channel: a socket pair that never blocks and loses no wake-up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gevent
import pytest
from gevent import get_hub

from kazoo_gevent_patch.loop.waiting import WaitingList, new_place
from kazoo_gevent_patch.wire.selector import Selector
from kazoo_gevent_patch.wire.wake_channel import wake_channel
from tests.interleaving import Interleaved
from tests.support import wait_until

FAR_MORE_THAN_A_SOCKET_PAIR_HOLDS = 100_000


def test_bytes_come_out_as_they_went_in() -> None:
    """It is a pipe: in order, at most as many as asked for."""
    reader, writer = wake_channel()
    assert writer.send(b"abc") == 3
    assert [reader.recv(1), reader.recv(10)] == [b"a", b"bc"]


def test_sending_never_blocks() -> None:
    """Nobody reads, and still every byte is taken, by greenlets that never have to wait."""
    reader, writer = wake_channel()
    for _ in range(FAR_MORE_THAN_A_SOCKET_PAIR_HOLDS):
        writer.send(b"\0")
    assert len(reader.recv(2 * FAR_MORE_THAN_A_SOCKET_PAIR_HOLDS)) == (
        FAR_MORE_THAN_A_SOCKET_PAIR_HOLDS
    )


def test_receiving_waits_for_a_byte() -> None:
    """recv blocks its greenlet until a byte comes."""
    reader, writer = wake_channel()
    receiver = gevent.spawn(reader.recv, 1)
    gevent.sleep(0)
    assert not receiver.ready()
    writer.send(b"x")
    assert receiver.get(timeout=5) == b"x"


def test_a_closed_channel_raises_what_a_socket_raises() -> None:
    """Sending, receiving and asking the name of a closed pair raise OSError."""
    reader, writer = wake_channel()
    assert reader.getsockname() == writer.getsockname()
    reader.close()
    for call in (lambda: writer.send(b"x"), lambda: reader.recv(1), writer.getsockname):
        with pytest.raises(OSError, match="closed"):
            call()


def test_a_slow_sender_wakes_the_place_that_it_found() -> None:
    """The reader has meanwhile found the byte by itself, and waits for the next one."""
    reader, writer = wake_channel()
    first, later = new_place(), new_place()

    class Overtaken(WaitingList):
        def remove(self, place: Any) -> None:
            if place is first:
                self.clear()
                reader.recv(1)
                self.append(later)
                writer.send(b"y")
            super().remove(place)

    waiting = reader.waiting = Overtaken()
    waiting.append(first)
    writer.send(b"x")
    with gevent.Timeout(5):
        assert later.wait(None) is True


def test_closing_wakes_the_greenlet_that_selects() -> None:
    """close() while another greenlet waits: it finds the channel readable."""
    reader, writer = wake_channel()
    waiting = gevent.spawn(Selector().select, [reader], [], [], 30)
    gevent.sleep(0)
    writer.close()
    assert waiting.get(timeout=5) == ([reader], [], [])


def test_select_times_out_on_a_silent_channel() -> None:
    """Nothing sent, nothing ready."""
    reader, _ = wake_channel()
    assert Selector().select([reader], [], [], 0) == ([], [], [])
    assert Selector().select([reader], [], [], 0.01) == ([], [], [])


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_byte_sent_at_the_worst_moment_is_seen(moment: str) -> None:
    """Forced interleaving: a byte sent just before or after the reader joins wakes it."""
    reader, writer = wake_channel()
    reader.waiting = Interleaved(**{moment: lambda: writer.send(b"x")})
    assert gevent.spawn(reader.recv, 1).get(timeout=5) == b"x"


def test_native_threads_wake_the_reader() -> None:
    """Bytes from many native threads at once all arrive, and each wait ends."""
    threads, each = 4, 2_000
    reader, writer = wake_channel()
    selector = Selector()
    received = 0

    def receive() -> None:
        nonlocal received
        while received < threads * each:
            assert selector.select([reader], [], [], 10)[0] == [reader]
            received += len(reader.recv(1))

    receiver = gevent.spawn(receive)
    with ThreadPoolExecutor(threads) as pool:
        sends = [
            pool.submit(lambda: [writer.send(b"\0") for _ in range(each)]) for _ in range(threads)
        ]
        wait_until(receiver.ready, timeout=30, sleep=gevent.sleep)
        assert all(send.result() == [1] * each for send in sends)
    receiver.get(timeout=0)
    assert received == threads * each


def test_a_wake_up_for_a_destroyed_hub_is_harmless() -> None:
    """A native thread whose hub is gone while its greenlet waited does not break the sender."""
    reader, writer = wake_channel()

    def wait_and_leave() -> None:
        waiting = gevent.spawn(reader.recv, 1)
        gevent.sleep(0)
        assert not waiting.ready()
        get_hub().destroy(destroy_loop=True)

    with ThreadPoolExecutor(1) as pool:
        pool.submit(wait_and_leave).result(timeout=10)
    assert writer.send(b"x") == 1
