"""Critical sections of greenlets that go on in a forked child, as gevent has it."""

from __future__ import annotations

import pytest

from tests.process.test_forks import prelude_of, run

SECTION = """
import logging, io
log = io.StringIO()
logging.basicConfig(stream=log, level=logging.WARNING)
from kazoo_gevent_patch.changes.sections import ParentHoldsError

zk.start()
zk.create("/data", b"0")
{make}
begun, go_on, outcomes = [], [], []

def section():
    with recipe:
        begun.append(os.getpid())
        while not go_on:
            gevent.sleep(0.005)
        for _ in range(2):
            try:
                outcomes.append(zk.get("/data")[0])
            except ConnectionClosedError as error:
                outcomes.append(error)
    outcomes.append(zk.get("/data")[0])  # no longer in a critical section

greenlet = gevent.spawn(section)
wait_until(lambda: begun)
bystander = gevent.spawn(lambda: wait_until(lambda: go_on) or zk.get("/data")[0])
"""

RECIPES = {
    "lock": 'recipe = zk.Lock("/lock")',
    "write lock": 'recipe = zk.WriteLock("/lock")',
    "semaphore": 'recipe = zk.Semaphore("/semaphore")',
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize(
    ("fork", "used"),
    [
        ("os.fork", "first"),
        ("os.fork", "meanwhile"),
        # Where the section itself is the first to use the client, it might be what has forked.
        ("ctypes.PyDLL(None).fork", "meanwhile"),
    ],
)
def test_requests_of_a_section_that_the_parent_is_in_fail_and_say_why(
    zookeeper_hosts: str, chroot: str, recipe: str, used: str, fork: str
) -> None:
    """Until it has released; those of other greenlets, older ones too, do not. One warning."""
    program = prelude_of("monkey patched", zookeeper_hosts + chroot)
    if fork != "os.fork":
        program += "patch_all(keep_sessions=False)  # such a fork and threads do not go together\n"
    program += SECTION.format(make=RECIPES[recipe])
    program += f"""
import ctypes
def child():
    if {used!r} == "meanwhile":
        assert zk.get("/data")[0] == b"0"
    go_on.append(1)
    wait_until(lambda: len(outcomes) == 3)
    assert all(isinstance(outcome, ParentHoldsError) for outcome in outcomes[:2]), outcomes
    assert recipe.path in str(outcomes[0])
    assert outcomes[2] == b"0"
    assert bystander.get(timeout=10) == b"0"
    assert log.getvalue().count("A request is refused") == 1, log.getvalue()
    assert vars(zk).get("_call") is None  # nothing is left of it
    with zk.Lock("/another"):
        assert zk.get("/data")

assert statuses([in_child(child, fork={fork})]) == [0]
go_on.append(1)
greenlet.join(10)
assert outcomes == [b"0"] * 3, outcomes
assert bystander.get(timeout=10) == b"0"
zk.stop()
"""
    run(program)


@pytest.mark.parametrize("mode", ["monkey patched", "raw fork alone"])
def test_who_forks_in_a_section_of_its_own_may_go_on(
    mode: str, zookeeper_hosts: str, chroot: str
) -> None:
    """It knows that it forked; and so may a greenlet that has released, or has never acquired."""
    program = prelude_of(mode, zookeeper_hosts + chroot)
    run(
        program
        + """
zk.start()
zk.create("/data", b"0")
held, children = zk.Lock("/lock"), []
released = zk.Lock("/released")

def forks():
    with held:
        children.append(in_child(lambda: zk.get("/data")))

def uses():
    with released:
        pass
    while os.getpid() == parent:
        gevent.sleep(0.005)
    seen.append(zk.get("/data")[0])

parent, seen = os.getpid(), []
older = gevent.spawn(uses)
gevent.spawn(forks).join()
wait_until(lambda: zk.get_async("/data").wait(10) and not held.is_acquired)
children.append(in_child(lambda: wait_until(lambda: seen == [b"0"])))
assert statuses(children) == [0, 0]
older.kill()
zk.stop()
"""
    )


def test_a_child_of_a_child_is_guarded_too(zookeeper_hosts: str, chroot: str) -> None:
    """The section goes on there as well, and is in the same lock's for nobody."""
    program = prelude_of("monkey patched", zookeeper_hosts + chroot)
    program += SECTION.format(make=RECIPES["lock"])
    run(
        program
        + """
def grandchild():
    go_on.append(1)
    wait_until(lambda: len(outcomes) == 3)
    assert all(isinstance(outcome, ParentHoldsError) for outcome in outcomes[:2]), outcomes

def child():
    zk.get("/data")
    assert statuses([in_child(grandchild)]) == [0]

assert statuses([in_child(child)]) == [0]
go_on.append(1)
greenlet.join(10)
assert bystander.get(timeout=10) == b"0"
zk.stop()
"""
    )
