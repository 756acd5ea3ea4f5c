"""A session that the client has lost, and that the server still has, gives nobody a lock.

It happens when a server tells a client that its session has ended, and that end is never
committed. Here a proxy tells it, and the server has the session until the test ends it.
"""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionLoss, SessionExpiredError
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KazooState
from kazoo.security import make_acl

from kazoo_gevent_patch import SequentialGeventHandler
from tests.server.conftest import MakeClient
from tests.server.frames import Proxy, proxy
from tests.support import ROOT, wait_until

LIMIT: Final = 60.0
BRIEF: Final = 0.3
LONG: Final = timedelta(hours=1)


class Stage:
    """Two clients, one of which is to lose its session."""

    def __init__(self, make_client: MakeClient, front: Proxy, hosts: str, chroot: str) -> None:
        self.zk = make_client(hosts=front.hosts + chroot, timeout=10.0)
        self.other = make_client()
        self.is_ours = isinstance(self.zk.handler, SequentialGeventHandler)
        self._front = front
        self._hosts = hosts + chroot
        self._old: Any = None

    def lose(self) -> None:
        """Tell the client that its session has ended, and wait until it has another one."""
        self._old = self.zk.client_id
        self._front.lie()
        self.until(lambda: self.zk.client_id not in (None, self._old))

    def end(self) -> None:
        """End the session of which the client was told that it has ended."""
        again = KazooClient(self._hosts, client_id=self._old, handler=SequentialThreadingHandler())
        again.start()
        assert again.client_id == self._old
        again.create("/ends", ephemeral=True)
        again.stop()
        again.close()
        # kazoo before 2.11 does not wait for the answer.
        self.until(lambda: not self.other.exists("/ends"))

    def until(self, predicate: Callable[[], Any]) -> Any:
        """Wait with the sleep of the handler."""
        return wait_until(predicate, LIMIT, self.zk.handler.sleep_func)

    def spawn(self, function: Callable[[], object]) -> list[object]:
        """Call the function beside the test; return where its result will be."""
        results: list[object] = []
        self.zk.handler.spawn(lambda: results.append(function()))
        return results

    @property
    def session(self) -> int:
        """The session that the client has now."""
        client_id = self.zk.client_id
        assert client_id is not None
        return int(client_id[0])

    def owners(self, path: str) -> list[int]:
        """Return the sessions that own the children of a node."""
        stats = [self.other.exists(f"{path}/{name}") for name in self.other.get_children(path)]
        return [stat.ephemeralOwner for stat in stats if stat is not None]


@pytest.fixture
def stage(make_client: MakeClient, zookeeper_hosts: str, chroot: str) -> Iterator[Stage]:
    """Set the stage, on each handler in turn."""
    yield from _set(make_client, zookeeper_hosts, chroot)


def _set(make_client: MakeClient, zookeeper_hosts: str, chroot: str) -> Iterator[Stage]:
    hosts = zookeeper_hosts.split(",", maxsplit=1)[0]
    with proxy(hosts) as front:
        made = Stage(make_client, front, hosts, chroot)
        yield made
        made.zk.stop()


@pytest.fixture
def our_stage(
    make_patched_client: MakeClient, zookeeper_hosts: str, chroot: str
) -> Iterator[Stage]:
    """Set the stage, on our handler."""
    yield from _set(make_patched_client, zookeeper_hosts, chroot)


Scene = Callable[[Stage], bool]
"""Has a client lose its session while it has something, or waits for it. Returns whether it is
still its own alone when the server has ended that session, and it believes that it has it."""


def _waits(kind: str, *, rival: str = "Lock") -> Scene:
    """Lose the session while somebody else holds the lock."""

    def scene(stage: Stage) -> bool:
        holder = getattr(stage.other, rival)("/lock")
        assert holder.acquire()
        mine = getattr(stage.zk, kind)("/lock")
        acquired = stage.spawn(mine.acquire)
        stage.until(lambda: len(stage.other.get_children("/lock")) == 2)
        stage.lose()
        holder.release()
        stage.until(lambda: acquired)
        stage.end()
        assert acquired == [True]
        assert mine.is_acquired
        return not getattr(stage.other, rival)("/lock").acquire(blocking=False)

    return scene


def _leads(stage: Stage) -> bool:
    """Lose the session while somebody else leads."""
    holder, leading, over = stage.other.Lock("/lock"), [], stage.zk.handler.event_object()
    assert holder.acquire()

    def lead() -> None:
        leading.append(True)
        over.wait(LIMIT)

    ended = stage.spawn(lambda: stage.zk.Election("/lock").run(lead))
    stage.until(lambda: len(stage.other.get_children("/lock")) == 2)
    stage.lose()
    holder.release()
    stage.until(lambda: leading)
    stage.end()
    leads_alone = not stage.other.Lock("/lock").acquire(blocking=False)
    over.set()
    stage.until(lambda: ended)
    return leads_alone


def _leases(stage: Stage) -> bool:
    """Lose the session while somebody else takes a lease that is not bound to a session."""
    holder, over = stage.other.Lock("/lock"), stage.zk.handler.event_object()
    assert holder.acquire()
    asked: list[bool] = []

    def utcnow() -> datetime:  # it is asked when the lease's lock is acquired
        asked.append(True)
        over.wait(LIMIT)
        return datetime.now()

    leased = stage.spawn(lambda: stage.zk.NonBlockingLease("/lock", LONG, utcnow=utcnow))
    stage.until(lambda: len(stage.other.get_children("/lock")) == 2)
    stage.lose()
    holder.release()
    stage.until(lambda: asked)
    stage.end()
    is_alone = not stage.other.Lock("/lock").acquire(blocking=False)
    over.set()
    stage.until(lambda: leased)
    return is_alone


def _holds_a_lease(stage: Stage) -> bool:
    """Acquire it again in the next session."""
    mine = stage.zk.Semaphore("/semaphore")
    assert mine.acquire()
    stage.lose()
    assert mine.acquire()
    stage.end()
    assert mine.is_acquired
    return not stage.other.Semaphore("/semaphore").acquire(blocking=False)


def _has_an_item(stage: Stage) -> bool:
    """Get it again in the next session."""
    stage.other.LockingQueue("/queue").put(b"item")
    mine = stage.zk.LockingQueue("/queue")
    assert mine.get(LIMIT) == b"item"
    stage.lose()
    got = stage.spawn(lambda: mine.get(LIMIT))
    stage.until(lambda: got or mine.processing_element is None)
    stage.end()
    stage.until(lambda: got)
    assert got == [b"item"]
    return stage.other.LockingQueue("/queue").get(BRIEF) is None


def _is_a_member(stage: Stage) -> bool:
    """Join again in the next session."""
    mine = stage.zk.Party("/party")
    mine.join()
    stage.lose()
    mine.join()
    stage.end()
    assert mine.participating
    return len(stage.other.Party("/party")) == 1


def _is_inside(stage: Stage) -> bool:
    """Enter again in the next session."""
    mine = stage.zk.DoubleBarrier("/barrier", 1)
    mine.enter()
    stage.lose()
    mine.enter()
    stage.end()
    assert mine.participating
    return mine.node_name in stage.other.get_children("/barrier")


SCENES: Final[dict[str, Scene]] = {
    "Lock": _waits("Lock"),
    "ReadLock": _waits("ReadLock", rival="WriteLock"),
    "WriteLock": _waits("WriteLock", rival="WriteLock"),
    "Election": _leads,
    "NonBlockingLease": _leases,
    "Semaphore": _holds_a_lease,
    "LockingQueue": _has_an_item,
    "Party": _is_a_member,
    "DoubleBarrier": _is_inside,
}


@pytest.mark.parametrize("recipe", SCENES)
def test_nobody_owns_anything_through_a_session_that_he_lost(stage: Stage, recipe: str) -> None:
    """On our handler. On kazoo's default one he does: if this fails there, kazoo has mended it."""
    assert SCENES[recipe](stage) == stage.is_ours


def owned(zk: KazooClient) -> dict[str, Callable[[], object]]:
    """Have a client own something of each kind; return what tells whether it thinks so."""
    lock, semaphore, party = zk.Lock("/lock"), zk.Semaphore("/semaphore"), zk.ShallowParty("/party")
    barrier, queue = zk.DoubleBarrier("/barrier", 1), zk.LockingQueue("/queue")
    queue.put(b"item")
    assert lock.acquire()
    assert semaphore.acquire()
    party.join()
    barrier.enter()
    assert queue.get(LIMIT) == b"item"
    partitioner = zk.SetPartitioner("/partitioner", ["part"], time_boundary=0)
    partitioner.wait_for_acquire(LIMIT)
    return {
        "Lock /lock": lambda: lock.is_acquired,
        "Semaphore /semaphore": lambda: semaphore.is_acquired,
        "ShallowParty /party": lambda: party.participating,
        "DoubleBarrier /barrier": lambda: barrier.participating,
        "LockingQueue /queue": lambda: queue.processing_element is not None,
        "SetPartitioner /partitioner": lambda: partitioner.acquired,
    }


@pytest.mark.parametrize("end", ["told", "stopped"])
def test_listeners_hear_of_a_loss_when_recipes_know(
    stage: Stage, end: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And one line names what was lost; only a stop() was asked for, and is no warning."""
    beliefs = owned(stage.zk)
    assert all(believes() for believes in beliefs.values())
    seen: dict[str, list[str]] = {}

    def listen(state: str) -> None:
        seen.setdefault(state, [name for name, believes in beliefs.items() if believes()])

    stage.zk.add_listener(listen)
    with caplog.at_level(logging.INFO, "kazoo_gevent_patch"):
        if end == "told":
            stage.lose()
        else:
            stage.zk.stop()
    stage.until(lambda: KazooState.LOST in seen)
    lines = [line for line in caplog.records if "has ended, and with it" in line.getMessage()]
    if not stage.is_ours:
        assert {"Lock /lock", "LockingQueue /queue"} < set(seen[KazooState.LOST])
        return
    assert seen[KazooState.LOST] == []
    [line] = lines
    assert line.levelno == (logging.WARNING if end == "told" else logging.INFO)
    named = line.getMessage().partition("with it: ")[2].split(", ")
    # The partition is a lock too; a set that hears of the loss of a connection gives it up then.
    expected = {*beliefs, "Lock /partitioner/locks/part", "ShallowParty /partitioner/party"}
    assert expected - set(named) <= {"SetPartitioner /partitioner"}


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_releasing_what_was_lost_leaves_the_next_holder_alone(our_stage: Stage, kind: str) -> None:
    """Though both use one object, of a later session by then."""
    stage, over = our_stage, our_stage.zk.handler.event_object()
    mine = getattr(stage.zk, kind)("/mine")
    inside: list[str] = []

    def hold(name: str) -> None:
        with mine:
            inside.append(name)
            over.wait(LIMIT)

    first = stage.spawn(lambda: hold("first"))
    stage.until(lambda: inside)
    stage.lose()
    second = stage.spawn(mine.acquire)
    assert not second, "the first one may be inside still"
    stage.end()
    if kind == "Semaphore":
        stage.until(lambda: second)
    else:  # a Lock keeps those of its own process apart as well
        assert not mine.acquire(blocking=False)
    assert inside == ["first"]
    over.set()
    stage.until(lambda: first and second)
    assert mine.is_acquired
    assert stage.owners("/mine") == [stage.session]
    assert mine.release()
    assert stage.owners("/mine") == []


@pytest.mark.parametrize("kind", ["Lock", "Semaphore"])
def test_releasing_what_was_lost_frees_it_at_once(our_stage: Stage, kind: str) -> None:
    """The server need not end the session first."""
    mine = getattr(our_stage.zk, kind)("/mine")
    assert mine.acquire()
    our_stage.lose()
    assert our_stage.owners("/mine") != []
    assert not mine.release()
    assert getattr(our_stage.other, kind)("/mine").acquire(timeout=LIMIT)
    our_stage.end()


def test_anybody_may_release_what_was_lost_for_its_holder(our_stage: Stage) -> None:
    """What the holder does then is what anybody does who has not lost it."""
    mine = our_stage.zk.Lock("/mine")
    assert mine.acquire()
    our_stage.lose()
    again = our_stage.spawn(lambda: (mine.release(), mine.acquire()))
    our_stage.until(lambda: again)
    our_stage.end()
    assert mine.release()
    assert our_stage.other.Lock("/mine").acquire(timeout=LIMIT)


def test_names_that_an_application_may_know_stay(our_stage: Stage) -> None:
    """That of a party's member, and the number of a lock that code may be inside of still."""
    party, mine = our_stage.zk.Party("/party", "me"), our_stage.zk.Lock("/mine")
    party.join()
    assert mine.acquire()
    name, node = party.node, mine.node
    our_stage.lose()
    assert mine.node == node
    our_stage.end()
    party.join()
    assert party.node == name
    assert our_stage.other.get_children("/party") == [name]


def test_a_member_that_may_not_delete_joins_again(our_stage: Stage) -> None:
    """Its earlier node goes with its session."""
    stage = our_stage
    stage.other.create("/party", acl=[make_acl("world", "anyone", read=True, create=True)])
    party = stage.zk.Party("/party")
    party.join()
    stage.lose()
    party.join()
    stage.end()
    assert stage.owners("/party") == [stage.session]


def test_a_lock_does_not_wait_for_a_lasting_node_of_its_own(our_stage: Stage) -> None:
    """Which an acquire(ephemeral=False) left behind when the connection was lost in the middle."""
    zk, create = our_stage.zk, our_stage.zk.create
    lock = zk.Lock("/lock")

    def lose_the_reply(*args: Any, **kwargs: Any) -> None:
        create(*args, **kwargs)
        lose()

    def lose(*_: Any, **__: Any) -> None:
        raise ConnectionLoss

    with pytest.MonkeyPatch.context() as lossy:
        lossy.setattr(zk, "create", lose_the_reply)
        lossy.setattr(zk, "get_children", lose)
        assert not lock.acquire(ephemeral=False, timeout=BRIEF)
    assert our_stage.owners("/lock") == [0]
    assert lock.acquire(timeout=LIMIT)
    assert our_stage.owners("/lock") == [our_stage.session]


def test_a_waiter_does_not_wait_for_itself(our_stage: Stage) -> None:
    """Its node in the session that was lost is deleted, not waited for."""
    stage = our_stage
    holder = stage.other.Lock("/lock")
    assert holder.acquire()
    acquired = stage.spawn(stage.zk.Lock("/lock").acquire)
    stage.until(lambda: len(stage.owners("/lock")) == 2)
    stage.lose()
    stage.until(lambda: stage.session in stage.owners("/lock"))
    assert len(stage.owners("/lock")) == 2
    holder.release()
    stage.until(lambda: acquired)
    stage.end()


def test_a_lock_that_is_not_bound_to_the_session_outlives_it(our_stage: Stage) -> None:
    """With ephemeral=False; and the same object is bound to it the next time."""
    stage, lock = our_stage, our_stage.zk.Lock("/lock")
    assert lock.acquire(ephemeral=False)
    stage.lose()
    stage.end()
    assert lock.is_acquired
    assert not stage.other.Lock("/lock").acquire(blocking=False)
    assert lock.release()
    assert lock.acquire()
    stage.lose()
    assert not lock.is_acquired
    stage.end()
    assert stage.other.Lock("/lock").acquire(timeout=LIMIT)


def test_a_member_is_not_counted_twice(our_stage: Stage) -> None:
    """When it joins, or enters, again and the server has its earlier session still."""
    party, barrier = our_stage.zk.Party("/party"), our_stage.zk.DoubleBarrier("/barrier", 1)
    party.join()
    barrier.enter()
    our_stage.lose()
    party.join()
    barrier.enter()
    assert our_stage.owners("/party") == [our_stage.session]
    assert sorted(our_stage.owners("/barrier")) == [0, our_stage.session]  # 0 is that of "ready"
    our_stage.end()


def test_leaving_a_barrier_after_a_loss_leaves_the_others_alone(our_stage: Stage) -> None:
    """What says that it is open stays; the member that was lost goes."""
    mine, others = (
        client.DoubleBarrier("/barrier", 1) for client in (our_stage.zk, our_stage.other)
    )
    mine.enter()
    others.enter()
    our_stage.lose()
    mine.leave()
    our_stage.until(lambda: len(our_stage.other.get_children("/barrier")) == 2)
    assert set(our_stage.other.get_children("/barrier")) == {"ready", others.node_name}
    our_stage.end()


def test_a_set_that_failed_while_it_acquired_keeps_no_locks(stage: Stage) -> None:
    """On kazoo's default handler it keeps them in the next session: nobody gets them any more."""
    holder = stage.other.Lock("/set/locks/part")
    assert holder.acquire()
    partitioner = stage.zk.SetPartitioner(
        "/set",
        ["part"],
        time_boundary=0,
        max_reaction_time=LIMIT,
    )
    stage.until(lambda: len(stage.other.get_children("/set/locks/part")) == 2)
    stage.lose()
    stage.until(lambda: not partitioner.allocating)
    stage.until(lambda: stage.session in stage.owners("/set/locks/part") or not stage.is_ours)
    stage.end()  # before the lock is free: else kazoo may acquire it with the node that ends
    holder.release()
    waiter = stage.other.Lock("/set/locks/part")
    if stage.is_ours:
        assert waiter.acquire(timeout=LIMIT)
    else:
        stage.until(lambda: stage.owners("/set/locks/part") == [stage.session])


LAST_MOMENTS: Final[dict[str, tuple[str, tuple[Any, ...], str]]] = {
    "Lock._get_predecessor": ("acquire", (), "is_acquired"),
    "Lock._inner_acquire": ("acquire", (), "is_acquired"),
    "Semaphore._get_lease": ("acquire", (), "is_acquired"),
    "Semaphore._inner_acquire": ("acquire", (), "is_acquired"),
    "LockingQueue._take": ("get", (LIMIT,), "processing_element"),
    "Party._inner_join": ("join", (), "participating"),
    "DoubleBarrier._inner_enter": ("enter", (), "participating"),
}
"""In which inner function, the call, and what tells that it was carried out."""


@pytest.mark.parametrize("moment", LAST_MOMENTS)
def test_a_session_that_ends_in_the_last_moment_has_it_done_again(
    our_stage: Stage, moment: str
) -> None:
    """When kazoo has seen the reply, and before the call returns, as may be in a thread."""
    kind, _, name = moment.partition(".")
    call, arguments, belief = LAST_MOMENTS[moment]
    stage, path = our_stage, "/queue/taken" if kind == "LockingQueue" else "/mine"
    stage.other.LockingQueue("/queue").put(b"item")
    mine = getattr(stage.zk, kind)(
        *{"LockingQueue": ("/queue",), "DoubleBarrier": ("/mine", 1)}.get(kind, ("/mine",))
    )
    inner, calls = getattr(mine, name), list[object]()

    def and_then_the_session_ends(*args: Any, **kwargs: Any) -> Any:
        outcome = inner(*args, **kwargs)
        calls.append(outcome)
        if len(calls) == 1:
            stage.lose()
            stage.end()
        return outcome

    setattr(mine, name, and_then_the_session_ends)
    getattr(mine, call)(*arguments)
    assert getattr(mine, belief)
    assert len(calls) > 1
    assert set(stage.owners(path)) - {0} == {stage.session}


def test_a_lock_that_nobody_contends_for_costs_no_more_requests(client: KazooClient) -> None:
    """As many on both handlers: look for a node, create one, look for others, delete it."""
    lock = client.Lock("/lock")
    with lock:  # which makes sure of the path
        before = client._connection._xid
    for number in (1, 2):
        with lock:
            pass
        assert client._connection._xid - before == 1 + 4 * number  # and the first one's delete


def documented(name: str) -> Callable[..., Any]:
    """Return a function that docs/compatibility.md shows."""
    [code] = [
        block
        for block in re.findall(
            r"^```python\n(.*?)^```", (ROOT / "docs/compatibility.md").read_text(), re.M | re.S
        )
        if f"def {name}(" in block
    ]
    names: dict[str, Any] = {"SessionExpiredError": SessionExpiredError}
    exec(code, names)
    function: Callable[..., Any] = names[name]
    return function


def test_a_holder_that_was_paused_writes_nothing_with_its_fencing_token(our_stage: Stage) -> None:
    """It is the number of a former holder, once the next one has written."""
    fencing_token = documented("fencing_token")
    mine, others = our_stage.zk.Lock("/lock"), our_stage.other.Lock("/lock")
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE report (text, token INTEGER)")
    store.execute("INSERT INTO report VALUES ('empty', 0)")

    def write(text: str, token: int) -> int:
        update = "UPDATE report SET text = ?, token = ? WHERE token <= ?"
        return store.execute(update, (text, token, token)).rowcount

    assert mine.acquire()
    first = fencing_token(mine)
    assert write("mine", first) == 1
    our_stage.lose()
    our_stage.end()
    with pytest.raises(SessionExpiredError):
        fencing_token(mine)
    assert others.acquire(timeout=LIMIT)
    assert write("the other's", fencing_token(others)) == 1
    assert write("too late", first) == 0
    assert list(store.execute("SELECT text FROM report")) == [("the other's",)]
