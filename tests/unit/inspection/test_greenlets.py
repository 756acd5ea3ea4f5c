"""Where greenlets are, seen from the same thread and from others."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest
from gevent import get_hub
from gevent.monkey import get_original

from kazoo_gevent_patch.inspection.greenlets import DEEPEST, Named, Question, look_at, stack_of
from kazoo_gevent_patch.inspection.records import GreenletStatus
from tests.support import finish

block = get_original("time", "sleep")


def wait_here(event: gevent.event.Event, secret: str = "wonderland-5f1d") -> str:
    event.wait()
    return secret


def look(*greenlets: Any) -> list[GreenletStatus]:
    """Look at the greenlets, and leave out the test itself, which runs."""
    named = [Named(f"number {number}", one, get_hub()) for number, one in enumerate(greenlets)]
    return [one for one in finish(look_at(named, [])) if one.name.startswith("number")]


@contextmanager
def in_another_thread(code: str) -> Iterator[gevent.hub.Hub]:
    """Have a native thread with an event loop compute until the block ends; give its hub."""
    hubs: list[gevent.hub.Hub] = []
    began, ended = threading.Event(), threading.Event()

    def run() -> None:
        hubs.append(get_hub())
        exec(code, {"began": began, "ended": ended, "gevent": gevent})
        get_hub().destroy(destroy_loop=True)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert began.wait(60)
        yield hubs[0]
    finally:
        ended.set()
        thread.join()


def test_it_tells_which_wait_which_run_and_which_have_not_begun() -> None:
    """Each with its stack, the innermost frame last; one that has ended is not told of."""
    event = gevent.event.Event()
    waits, new = gevent.spawn(wait_here, event), gevent.Greenlet(wait_here, event)
    ended = gevent.spawn(bool)
    found: list[GreenletStatus] = []
    everyone: list[Any] = [waits, new]
    runs = gevent.spawn(lambda: found.extend(look(*everyone)))
    everyone += [runs, ended]
    runs.join()
    ended.join()
    assert [(one.name, one.state) for one in found] == [
        ("number 0", "waits"),
        ("number 1", "has not begun"),
        ("number 2", "runs"),
    ]
    assert any(line.endswith("in wait_here") and __file__ in line for line in found[0].stack)
    assert found[1].stack == ()
    assert any(", in look" in line for line in found[2].stack)
    event.set()
    waits.join()
    assert look(waits) == []


def test_a_greenlet_is_told_of_once_by_its_first_name() -> None:
    """The one that says most comes first."""
    event = gevent.event.Event()
    greenlet = gevent.spawn(wait_here, event)
    gevent.sleep(0)
    assert [one.name for one in look(greenlet, greenlet)] == ["number 0"]
    event.set()


def test_no_source_and_no_variable_is_told() -> None:
    """A line of source, or an argument, may hold a secret."""
    event = gevent.event.Event()
    greenlet = gevent.spawn(wait_here, event)
    gevent.sleep(0)
    (found,) = look(greenlet)
    assert "wonderland" not in str(found)
    assert "event.wait()" not in str(found)
    event.set()


def test_what_runs_in_another_thread_is_told() -> None:
    """Also where none of the greenlets does: other code may keep the event loop from running."""
    code = "def busy():\n    began.set()\n    while not ended.is_set(): pass\nbusy()"
    with in_another_thread(code) as hub:
        (found,) = finish(look_at([], [hub]), block)
        assert found.state == "runs"
        assert any(line.endswith(", in busy") for line in found.stack)


def test_a_thread_that_does_not_answer_is_told_of_from_outside() -> None:
    """A call of C keeps it from that: what it called is told, and nothing of its greenlets."""
    code = "def stuck():\n    began.set()\n    ended.wait()\nstuck()"
    with in_another_thread(code) as hub:
        waits = gevent.Greenlet(bool)
        (found,) = finish(look_at([Named("waits", waits, hub)], [hub]), block)
    assert "does not answer" in found.name
    assert any(line.endswith(", in stuck") for line in found.stack)
    assert finish(look_at([], [hub]), block) == ()


def test_what_the_main_thread_computes_is_told_by_itself() -> None:
    """With the greenlets that wait meanwhile, seen from another thread."""
    waits = gevent.spawn(wait_here, gevent.event.Event())
    gevent.sleep(0)
    hub = get_hub()
    found: list[GreenletStatus] = []

    def look_from_outside() -> None:
        found.extend(finish(look_at([Named("waits", waits, hub)], [hub]), block))

    def compute() -> None:
        thread.start()
        while not found:
            pass
        thread.join()

    thread = threading.Thread(target=look_from_outside)
    compute()
    assert [one.state for one in found] == ["waits", "runs"]
    assert any(line.endswith("compute") for line in found[1].stack)
    waits.kill()


def test_what_goes_wrong_in_a_look_harms_nobody() -> None:
    """The main thread, which is asked in the middle of what it computes, goes on."""
    hub = get_hub()
    asked: list[Question[None]] = []
    looked: list[bool] = []

    def fail() -> None:
        looked.append(True)
        raise RecursionError

    thread = threading.Thread(target=lambda: asked.append(Question(hub, fail)))
    thread.start()
    while not looked:
        pass
    thread.join()
    assert asked[0].answers == []


def test_an_event_loop_that_waits_is_not_told_of() -> None:
    """That is what it does nearly always."""
    code = "gevent.spawn(began.set)\nwhile not ended.is_set(): gevent.sleep(0.01)"
    with in_another_thread(code) as hub:
        looks = [finish(look_at([], [hub]), block) for _ in range(50)]
    assert () in looks


def test_a_deep_stack_is_cut_at_its_outer_end() -> None:
    """The innermost frames say where it is."""

    def dive(depth: int) -> tuple[str, ...]:
        return dive(depth - 1) if depth else stack_of(sys._getframe())

    stack = dive(3 * DEEPEST)
    assert len(stack) == DEEPEST
    assert "dive" in stack[0]
    assert "dive" in stack[-1]


@pytest.mark.parametrize("seconds", [2.0])
def test_a_thread_may_look_while_greenlets_switch(seconds: float) -> None:
    """Whenever it looks: through frames of C, at greenlets that come and go."""
    stop: list[bool] = []
    interval = sys.getswitchinterval()

    def dive(depth: int) -> None:
        if depth:
            dive(depth - 1)
        else:
            gevent.sleep(0)

    def switch(item: int) -> int:
        gevent.sleep(0)
        return -item

    def work() -> None:
        while not stop:
            dive(5)
            sorted([1, 2, 3], key=switch)  # the sort is a frame of C

    def churn() -> None:
        while not stop:
            living[20:] = [gevent.spawn(dive, 3) for _ in range(10)]
            gevent.joinall(living[20:])

    def look_on(hub: gevent.hub.Hub) -> None:
        while not stop:
            named = [Named("", one, hub) for one in tuple(living)]
            seen.extend(finish(look_at(named, [hub]), block))
            del seen[:-1000]

    living: list[Any] = [gevent.spawn(work) for _ in range(20)]
    churning = gevent.spawn(churn)
    seen: list[GreenletStatus] = []
    thread = threading.Thread(target=look_on, args=(get_hub(),))
    sys.setswitchinterval(1e-5)
    try:
        thread.start()
        gevent.sleep(seconds)
    finally:
        stop.append(True)
        sys.setswitchinterval(interval)
        thread.join()
    gevent.joinall([*living, churning])
    assert {"waits", "runs"} <= {one.state for one in seen}
