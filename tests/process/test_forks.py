"""Started clients inherited through real forks; every child's exit status is checked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ports import free_block
from tests.support import run_python
from tests.zookeeper import ZooKeeper
from tests.zookeeper.server import HOST
from tests.zookeeper.tls import Authority, tls_config

PRELUDE = """
import os, sys, threading, time, traceback
{monkey}
import gevent, gevent.os
from kazoo_gevent_patch import patch_all, unpatch_all
patch_all(fork={fork!r})
from kazoo.client import KazooClient
from kazoo.exceptions import ConnectionClosedError, ConnectionLoss

def wait_until(predicate, timeout=60.0):
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, "timed out"
        gevent.sleep(0.005)

def in_child(function, *args, fork=os.fork):
    if fork is gevent.os.fork:
        # gevent does it after its first fork, and never hears of a child that has ended by then.
        gevent.get_hub().loop.install_sigchld()
    pid = fork()
    if pid:
        return pid
    status = 1
    try:
        {reinit}
        function(*args)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)

def statuses(pids, timeout=30.0, waitpid=os.waitpid):
    found = {{}}
    deadline = time.monotonic() + timeout
    while len(found) < len(pids):
        assert time.monotonic() < deadline, ("children hang", set(pids) - set(found))
        for pid in set(pids) - set(found):
            done, status = waitpid(pid, os.WNOHANG)
            if done:
                found[pid] = os.waitstatus_to_exitcode(status)
        gevent.sleep(0.005)
    return list(found.values())

zk = KazooClient({hosts!r}, timeout=5.0)
"""

MODES = {
    "monkey patched": ("import gevent.monkey; gevent.monkey.patch_all()", "pass"),
    "raw fork and reinit": ("", "gevent.reinit()"),
    "raw fork alone": ("", "pass"),
}


@pytest.fixture(params=["monkey patched", "raw fork alone"])
def prelude(request: pytest.FixtureRequest, zookeeper_hosts: str, chroot: str) -> str:
    """Give the beginning of a program that forks, with gevent's fork and with Python's."""
    return prelude_of(request.param, zookeeper_hosts + chroot)


def prelude_of(mode: str, hosts: str, fork: str = "reconnect") -> str:
    """Return the beginning of a program that forks."""
    monkey, reinit = MODES[mode]
    return PRELUDE.format(monkey=monkey, reinit=reinit, hosts=hosts, fork=fork)


def run(program: str, **options: float) -> None:
    """Run a program to its last line, without a traceback in it or in its children."""
    result = run_python(program + '\nprint("to the end")\n', **options)  # type: ignore[arg-type]
    assert result.stdout.splitlines()[-1:] == ["to the end"]
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("mode", MODES)
def test_thirty_children_have_sessions_of_their_own_and_the_parent_keeps_its(
    mode: str, zookeeper_hosts: str, chroot: str
) -> None:
    """With an ephemeral node, a held lock, a DataWatch and 200 requests in flight."""
    run(
        prelude_of(mode, zookeeper_hosts + chroot)
        + """
zk.start()
session = zk.client_id[0]
zk.create("/data", b"0")
node = zk.create("/ephemeral-", ephemeral=True, sequence=True)
lock = zk.Lock("/lock")
lock.acquire()
holder = lock.node
watched, states = [], []
zk.DataWatch("/data", lambda data, stat: watched.append(data))
zk.add_listener(states.append)
in_flight = [zk.get_async("/data") for _ in range(200)]
times = os.pipe()

def child():
    begin = time.monotonic()
    assert (zk.connected, zk.state, zk.client_id) == (False, "LOST", None)
    assert lock.is_acquired is False and lock.release() is False
    assert zk.get("/data")[0] in (b"0", b"1")
    os.write(times[1], b"%9.6f " % (time.monotonic() - begin))
    assert zk.client_id[0] != session
    for result in in_flight:
        if not result.ready() or result.exception is not None:
            try:
                result.get(timeout=5)
            except ConnectionLoss:
                pass
    assert states == ["LOST", "CONNECTED"], states
    assert lock.acquire(blocking=False) is False
    assert zk.exists(node) and zk.exists("/lock/" + holder)
    zk.set("/data", b"1")
    wait_until(lambda: watched[-1] == b"1")
    zk.stop()

children = [in_child(child) for _ in range(30)]
assert all(result.get(timeout=20)[0] in (b"0", b"1") for result in in_flight)
assert statuses(children) == [0] * 30
for _ in range(100):
    zk.get("/data")
assert (zk.client_id[0], states) == (session, [])
assert zk.exists(node) and zk.exists("/lock/" + holder) and lock.is_acquired
wait_until(lambda: watched[-1] == b"1")
took = [float(text) for text in os.read(times[0], 4096).split()]
assert len(took) == 30
print("slowest first read: %.3f s" % max(took))
assert lock.release()
zk.stop()
""",
        timeout=90,
    )


PROGRAMS = {
    "a child of a child, whether or not the first used the client": """
zk.start()
session = zk.client_id[0]
zk.create("/data", b"0")

def grandchild(sessions):
    assert zk.state == "LOST" and not zk.connected
    zk.get("/data")
    assert zk.client_id[0] not in sessions
    zk.stop()

def child(uses_it):
    sessions = [session]
    if uses_it:
        zk.get("/data")
        sessions.append(zk.client_id[0])
    assert statuses([in_child(grandchild, sessions) for _ in range(3)]) == [0] * 3
    if uses_it:
        assert zk.get("/data") and zk.client_id[0] == sessions[-1]

assert statuses([in_child(child, True), in_child(child, False)]) == [0, 0]
assert zk.get("/data") and zk.client_id[0] == session
""",
    "clients that were stopped, or never started, before the fork": """
stopped = KazooClient(HOSTS)
stopped.start()
stopped.stop()

def child(client):
    client.start()
    assert client.exists("/") is not None
    client.stop()
    client.close()

assert statuses([in_child(child, client) for client in (zk, stopped) * 2]) == [0] * 4
zk.start()
stopped.start()
assert zk.exists("/") and stopped.exists("/")
""",
    "start(), stop(), restart() and command() as the first use": """
zk.start()
session = zk.client_id[0]

def start():
    zk.start()
    assert zk.connected and zk.client_id[0] != session

def stop():
    zk.stop()
    zk.close()
    try:
        zk.get("/")
    except ConnectionClosedError:
        pass
    zk.start()
    assert zk.get("/") and zk.client_id[0] != session

def restart():
    zk.restart()
    assert zk.get("/") and zk.client_id[0] != session

def command():
    assert zk.command(b"ruok") == "imok"
    assert zk.client_id[0] != session

uses = (start, stop, restart, command)
assert statuses([in_child(use) for use in uses]) == [0] * len(uses)
assert zk.get("/") and zk.client_id[0] == session
""",
    "the parent's session outlives children that exit, with and without use": """
zk.start()
session = zk.client_id[0]
node = zk.create("/ephemeral", ephemeral=True)
states = []
zk.add_listener(states.append)

def nothing():
    pass

def use_and_leave_open():
    assert zk.get("/")

assert statuses([in_child(f) for f in (nothing, use_and_leave_open) * 3]) == [0] * 6
gevent.sleep(0.5)  # time for the server to act on a close that must not have been sent
assert zk.exists(node) and zk.client_id[0] == session and states == []
""",
    "no greenlet of ours goes on in the child, and the user's own do": """
zk.start()
zk.create("/data", b"0")
went_on, release = [], gevent.event.Event()

def callback(_):
    release.wait()
    went_on.append("callback")

def spawned():
    release.wait()
    went_on.append("spawned")

def own():
    release.wait()
    went_on.append("own")

zk.get("/data", watch=callback)
zk.set("/data", b"1")
zk.get_async("/data").rawlink(callback)
thread_like = zk.handler.spawn(spawned)
gevent.spawn(own)
gevent.sleep(0.1)  # until all of them wait

def child():
    assert not thread_like.is_alive()
    thread_like.join()
    release.set()
    gevent.sleep(0.2)  # time in which the inherited ones would go on
    assert went_on == ["own"], went_on
    seen = []
    zk.get_async("/data").rawlink(seen.append)
    zk.get("/data", watch=seen.append)
    zk.set("/data", b"2")
    wait_until(lambda: len(seen) == 2)

assert statuses([in_child(child)]) == [0]
assert thread_like.is_alive()
release.set()
wait_until(lambda: len(went_on) == 4)
assert sorted(went_on) == ["callback", "callback", "own", "spawned"]
""",
    "a fork while the session is being established": """
for _ in range(5):
    other = KazooClient(HOSTS, timeout=20.0)
    other.start_async()
    children = []
    while not other.connected:
        children.append(in_child(lambda: other.get("/")))
        gevent.sleep(0)
    assert statuses(children) == [0] * len(children)
    assert other.get("/")
    other.stop()
    other.close()
""",
    "a fork from a watch callback, a result callback and a listener": """
zk.start()
zk.create("/data", b"0")
session, children = zk.client_id[0], []

def fork(_):
    children.append(in_child(use))

def use():
    zk.get("/data")
    assert zk.client_id[0] != session

# The main greenlet goes on in the child too, so it must not wait for a request then.
zk.get("/data", watch=fork)
changed = zk.set_async("/data", b"1")
wait_until(lambda: children and changed.ready())
zk.get_async("/data").rawlink(fork)
wait_until(lambda: len(children) == 2)
assert statuses(children) == [0, 0]
assert zk.get("/data") and zk.client_id[0] == session
other = KazooClient(HOSTS, timeout=5.0)

def fork_once(state):
    if state == "CONNECTED" and os.getpid() == parent:
        pid = os.fork()
        if pid:
            children.append(pid)
            return True

def survive():
    other.get("/data")

other.add_listener(fork_once)
parent = os.getpid()
other.start_async()
wait_until(lambda: other.connected or os.getpid() != parent)
if os.getpid() != parent:
    status = 1
    try:
        survive()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
assert statuses(children[2:]) == [0]
assert other.get("/data")
""",
    "recipes do not take the parent's nodes for their own": """
zk.start()
first = zk.Lock("/lock")
first.acquire()
waiting, party, semaphore = zk.Lock("/lock"), zk.Party("/party"), zk.Semaphore("/semaphore")
outcome = []

def contend():
    try:
        outcome.append(waiting.acquire())
    except Exception as error:
        outcome.append(error)

gevent.spawn(contend)
wait_until(lambda: len(zk.get_children("/lock")) == 2)
party.join()
semaphore.acquire()
queue = zk.LockingQueue("/queue")
queue.put(b"item")
assert queue.get(timeout=5) == b"item"
barrier = zk.DoubleBarrier("/barrier", 1)
barrier.enter()
partitioner = zk.SetPartitioner("/set", {1, 2}, time_boundary=0.05)
wait_until(lambda: partitioner.acquired)
nodes = {path: sorted(zk.get_children(path)) for path in
         ("/lock", "/party", "/semaphore", "/barrier", "/queue/taken", "/set/party", "/set/locks/1")
         if zk.exists(path)}
assert len(nodes) >= 6, nodes

def child():
    from kazoo.exceptions import CancelledError
    wait_until(lambda: outcome)
    assert isinstance(outcome[0], CancelledError), outcome
    for recipe in (first, waiting, semaphore):
        assert recipe.is_acquired is False
        recipe.release()
    assert party.participating is False and barrier.participating is False
    assert queue.consume() is False and queue.release() is False
    assert first.acquire(blocking=False) is False and waiting.acquire(blocking=False) is False
    party.join()
    assert len(party) >= 2
    party.leave()
    wait_until(lambda: partitioner.failed)
    gevent.sleep(0.1)  # time for the partitioner to leave a party that is not its own
    zk.stop()

assert statuses([in_child(child) for _ in range(3)]) == [0] * 3
assert {path: sorted(zk.get_children(path)) for path in nodes} == nodes
assert first.is_acquired and party.participating and semaphore.is_acquired
first.release()
wait_until(lambda: outcome == [True])
assert queue.consume() is True
""",
    "a tree cache follows the nodes in the child too": """
from kazoo.recipe.cache import TreeCache
zk.start()
zk.create("/tree/node", b"0", makepath=True)
cache = TreeCache(zk, "/tree")
children, tasks = [], []

def follow(data):
    zk.set("/tree/node", data)
    wait_until(lambda: cache.get_data("/tree/node").data == data)
    wait_until(cache._task_queue.empty)

def child():
    assert cache.get_data("/tree/node").data == b"0"
    zk.create("/tree/child-%d" % os.getpid())
    wait_until(lambda: "child-%d" % os.getpid() in cache.get_children("/tree"))
    follow(b"1")
    follow(b"2")
    cache.close()
    cache._task_thread.join(10)
    assert not cache._task_thread.is_alive()
    zk.stop()

@cache.listen
def fork(event):
    if event.event_type == event.INITIALIZED and not children:
        tasks.append(gevent.getcurrent())
        children.append(os.fork())
        if not children[0]:
            gevent.spawn(in_listeners_child)

def in_listeners_child():
    status = 1
    try:
        assert cache._task_thread is tasks[0]  # it goes on: two would run the tasks at once
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)

cache.start()
wait_until(lambda: children)
if not children[0]:
    gevent.sleep(30)  # until the greenlet above ends the process
assert statuses(children) == [0]
zk.set("/tree/node", b"0")
wait_until(lambda: cache.get_data("/tree/node").data == b"0")
assert statuses([in_child(child)]) == [0]
follow(b"3")
""",
    "an explicit handler of kazoo's own is left to itself": """
from kazoo.handlers.threading import SequentialThreadingHandler
explicit = KazooClient(HOSTS, handler=SequentialThreadingHandler())
explicit.start()
session = explicit.client_id

def child():
    assert type(explicit.handler) is SequentialThreadingHandler
    assert explicit.client_id == session

assert statuses([in_child(child)]) == [0]
explicit.stop()
""",
    "an error at the fork is logged and does not reach the program": """
import io, logging
log = io.StringIO()
logging.getLogger("kazoo_gevent_patch").addHandler(logging.StreamHandler(log))
zk.start()
from kazoo_gevent_patch.changes import forking

def broken(*_):
    raise RuntimeError("broken on purpose")

forking.inherit = broken

def child():
    assert "inherited through a fork, is left as it is" in log.getvalue()
    assert "broken on purpose" in log.getvalue()

assert statuses([in_child(child)]) == [0]
assert zk.get("/")
""",
    "multiprocessing's fork and gevent.os.fork": """
import multiprocessing, gevent.os
zk.start()
session = zk.client_id[0]

def use():
    assert zk.get("/")
    assert zk.client_id[0] != session
    zk.stop()

context = multiprocessing.get_context("fork")
processes = [context.Process(target=use) for _ in range(3)]
for process in processes:
    process.start()
for process in processes:
    process.join(20)
assert [process.exitcode for process in processes] == [0] * 3
forked = in_child(use, fork=gevent.os.fork)
assert statuses([forked], waitpid=gevent.os.waitpid) == [0]
assert zk.get("/") and zk.client_id[0] == session
""",
    "a fork by a C program that does not run Python's hooks, as uWSGI's": """
import ctypes
patch_all(keep_sessions=False)  # such a fork and threads do not go together
zk.start()
zk.create("/data", b"0")
node = zk.create("/ephemeral", ephemeral=True)
session, seen = zk.client_id[0], []
zk.DataWatch("/data", lambda data, stat: seen.append(data))

def use():
    assert zk.get("/data")[0] == b"0"
    assert zk.client_id[0] != session
    zk.stop()

def leave_it_to_the_loop():
    gevent.sleep(2)  # until the inherited heartbeat would have been sent
    assert not zk.connected
    assert zk.exists(node) and zk.client_id[0] != session

children = [in_child(function, fork=ctypes.PyDLL(None).fork)
            for function in (use, leave_it_to_the_loop) * 3]
assert statuses(children) == [0] * 6
assert zk.get("/data") and zk.exists(node) and zk.client_id[0] == session
""",
    "many at once make the first use, callbacks and listeners pending": """
zk.add_listener(lambda state: gevent.sleep(0.01))
zk.start()
in_flight = [zk.get_async("/") for _ in range(20)]
for result in in_flight:
    result.rawlink(lambda _: None)

def child():
    users = [gevent.spawn(zk.get, "/") for _ in range(5)]
    assert all(user.get(timeout=10) for user in users)
    assert zk.handler.running

assert statuses([in_child(child) for _ in range(3)]) == [0] * 3
""",
    "a listener that asks for something when it hears of LOST": """
heard = []

def listener(state):
    if state == "LOST":
        heard.append(zk.get_async("/"))

zk.start()
zk.add_listener(listener)

def child():
    assert zk.get("/")
    assert heard[0].get(timeout=5)

assert statuses([in_child(child)]) == [0]
""",
    "a subclass's own stop() runs in the child too": """
class Careful(KazooClient):
    cleaned = False

    def stop(self):
        self.cleaned = True
        super().stop()

careful = Careful(HOSTS, timeout=5.0)
careful.start()

def child():
    careful.stop()
    assert careful.cleaned and not careful.connected

assert statuses([in_child(child)]) == [0]
assert careful.connected and not careful.cleaned
""",
    "a fork from a native thread": """
import gevent.monkey
from gevent.threadpool import ThreadPool
second = KazooClient(HOSTS, timeout=5.0)
zk.start()
second.start()
sessions = zk.client_id[0], second.client_id[0]

def child():
    for client, session in zip((zk, second), sessions):
        assert client.get("/") and client.client_id[0] != session

# gevent's own fork is for the main thread only.
raw_fork = gevent.monkey.get_original("os", "fork")
pid = ThreadPool(1).spawn(in_child, child, fork=raw_fork).get(timeout=10)
assert statuses([pid]) == [0]
assert zk.get("/") and second.get("/")
assert (zk.client_id[0], second.client_id[0]) == sessions
""",
    "the registry keeps no client alive in the child": """
import gc, weakref
zk.start()

def child():
    global zk
    zk.get("/")
    zk.stop()
    zk.close()
    gone = weakref.ref(zk)
    del zk
    wait_until(lambda: gc.collect() >= 0 and gone() is None)

assert statuses([in_child(child)]) == [0]
""",
    "a fork while the name of the server is looked up": """
import _socket, gevent.monkey
server, _, chroot = HOSTS.partition("/")
looked_up = []

original, sleep = _socket.getaddrinfo, gevent.monkey.get_original("time", "sleep")

def slow(host, *args):
    if host in ("slow.test", b"slow.test"):
        looked_up.append(os.getpid())
        sleep(0.5)
        host = server.partition(":")[0]
    return original(host, *args)

_socket.getaddrinfo = slow
zk = KazooClient("slow.test:" + server.partition(":")[2] + "/" + chroot)
zk.start_async()
wait_until(lambda: looked_up)

def child():
    assert zk.exists("/")
    assert looked_up == [os.getppid(), os.getpid()]
    zk.stop()

children = [in_child(child), in_child(child)]
wait_until(lambda: zk.connected)
assert zk.exists("/")
assert statuses(children) == [0, 0]
zk.stop()
""",
}


@pytest.mark.parametrize("behaviour", PROGRAMS)
def test_after_a_fork(prelude: str, behaviour: str, zookeeper_hosts: str, chroot: str) -> None:
    """What the parameter says holds, in the child and in the parent.

    kazoo 143 and 554, celery 3129: a client started before the fork hangs in the child.
    """
    run(prelude + f"HOSTS = {zookeeper_hosts + chroot!r}\n" + PROGRAMS[behaviour])


@pytest.fixture(scope="module")
def tls_hosts(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give a server that speaks TLS."""
    port = free_block([0])
    certificate = Authority(tmp_path_factory.mktemp("tls")).issue("server")
    with ZooKeeper(extra_config=tls_config(certificate, port, HOST)):
        yield f"{HOST}:{port}"


@pytest.mark.needs_zookeeper("3.5.1")  # the first that speaks TLS
@pytest.mark.parametrize("mode", ["monkey patched", "raw fork alone"])
def test_a_tls_connection_is_left_to_the_parent(mode: str, tls_hosts: str) -> None:
    """The child says nothing on it, not even good-bye; both go on with sessions of their own."""
    run(
        prelude_of(mode, tls_hosts)
        + f"""
zk = KazooClient({tls_hosts!r}, timeout=5.0, use_ssl=True, verify_certs=False)
zk.start()
session = zk.client_id[0]
path = zk.create("/tls-", ephemeral=True, sequence=True)
in_flight = [zk.get_async(path) for _ in range(50)]

def child():
    assert zk.exists(path) and zk.client_id[0] != session
    zk.stop()

children = [in_child(child) for _ in range(5)]
assert all(result.get(timeout=20) for result in in_flight)
assert statuses(children) == [0] * 5
assert zk.exists(path) and zk.client_id[0] == session
zk.stop()
"""
    )


def test_fork_stop(zookeeper_hosts: str, chroot: str) -> None:
    """fork="stop": using the client says why it does not work; start() opens a session."""
    run(
        prelude_of("monkey patched", zookeeper_hosts + chroot, fork="stop")
        + """
zk.start()
session, states = zk.client_id[0], []
node = zk.create("/ephemeral", ephemeral=True)
zk.add_listener(states.append)
pending = zk.get_async("/")

def child():
    for use in (lambda: zk.get("/"), lambda: zk.ensure_path("/a"), lambda: zk.create("/a")):
        try:
            use()
        except ConnectionClosedError as error:
            assert "fork='stop'" in str(error), error
        else:
            raise AssertionError("no error")
    try:
        pending.get(timeout=5)
    except ConnectionLoss:
        pass
    assert states == ["LOST"]
    zk.stop()
    zk.start()
    assert zk.exists(node) and zk.client_id[0] != session
    zk.stop()

assert statuses([in_child(child) for _ in range(3)]) == [0] * 3
assert pending.get(timeout=5) and zk.exists(node) and zk.client_id[0] == session
"""
    )


def test_fork_ignore(zookeeper_hosts: str, chroot: str) -> None:
    """fork="ignore": hands off; the client is in the child what it was in the parent."""
    run(
        prelude_of("raw fork alone", zookeeper_hosts + chroot, fork="ignore")
        + """
zk.start()
session = zk.client_id

def child():
    assert (zk.connected, zk.state, zk.client_id) == (True, "CONNECTED", session)
    assert "stop" not in vars(zk)

assert statuses([in_child(child)]) == [0]
assert zk.get("/")
"""
    )


@pytest.mark.parametrize("fork", ["reconnect", "ignore"])
def test_clients_keep_their_choice_after_unpatch_all(
    zookeeper_hosts: str, chroot: str, fork: str
) -> None:
    """A client of ours does not share its socket because kazoo was unpatched meanwhile."""
    run(
        prelude_of("raw fork alone", zookeeper_hosts + chroot, fork=fork)
        + f"""
zk.start()
session = zk.client_id
unpatch_all()

def child():
    if {fork == "ignore"}:
        assert zk.client_id == session
        return
    assert zk.get("/")
    assert zk.client_id[0] != session[0]

assert statuses([in_child(child)]) == [0]
assert zk.get("/") and zk.client_id == session
"""
    )


@pytest.mark.parametrize("started", ["started", "stopped", "not started"])
def test_clients_of_a_parent_without_the_shim_move_over(
    zookeeper_hosts: str, chroot: str, started: str
) -> None:
    """Built in the parent on kazoo's threads; patch_all() in the child, as in post_fork."""
    run(
        f"""
import os, sys, threading, traceback
from kazoo.client import KazooClient
zk = KazooClient({zookeeper_hosts + chroot!r}, timeout=5.0, connection_retry={{"max_tries": -1}})
lock, seen = zk.Lock("/lock"), []
if {started != "not started"}:
    zk.start()
    zk.create("/ephemeral", ephemeral=True)
    zk.DataWatch("/ephemeral", lambda data, stat: seen.append(data))
    session = zk.client_id
    lock.acquire()
if {started == "stopped"}:
    lock.release()
    zk.stop()
pid = os.fork()
if not pid:
    status = 1
    try:
        from kazoo_gevent_patch import patch_all, SequentialGeventHandler
        patch_all()
        import gevent.monkey; gevent.monkey.patch_all()
        import gevent; gevent.reinit()
        if {started != "started"}:
            zk.start()
        assert zk.get("/")
        assert type(zk.handler) is SequentialGeventHandler
        assert threading.active_count() == 1, threading.enumerate()
        if {started == "started"}:
            assert zk.client_id[0] != session[0]
            assert lock.is_acquired is False and lock.acquire(blocking=False) is False
            assert zk.exists("/ephemeral")
        else:
            with lock:
                assert lock.is_acquired
        zk.stop()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
if {started == "started"}:
    assert zk.client_id == session and zk.exists("/ephemeral") and lock.is_acquired
    zk.stop()
"""
    )


def test_what_native_threads_share_does_not_hang_a_child(prelude: str) -> None:
    """They held a kazoo Lock, waited for another and for results when the child was made."""
    run(
        prelude
        + """
from gevent.monkey import get_original
start_native = get_original("_thread", "start_new_thread")
zk.start()
shared, events = zk.Lock("/shared"), []
release = zk.handler.event_object()

def hold():
    with shared:
        events.append("held")
        release.wait()
    events.append("released")

def wait():
    events.append("waiting")
    with shared:
        events.append("handed on")

start_native(hold, ())
wait_until(lambda: "held" in events)
for _ in range(2):
    start_native(wait, ())
wait_until(lambda: events.count("waiting") == 2)
gevent.sleep(0.05)  # they stand in line now, or are about to

import select
met = os.pipe()

def child():
    assert not shared.acquire(blocking=False)  # the parent's session holds it
    os.write(met[1], b"x")
    release.set()
    with zk.Lock("/of-the-child"):
        assert zk.get("/")
    assert shared.acquire(timeout=10)
    zk.stop()

pid = in_child(child)
wait_until(lambda: select.select(met[:1], [], [], 0)[0])
release.set()
assert statuses([pid]) == [0]
wait_until(lambda: events.count("handed on") == 2)
zk.stop()
"""
    )


def test_a_client_on_threads_moves_when_a_child_without_hooks_is_patched(
    zookeeper_hosts: str, chroot: str
) -> None:
    """uWSGI, patched late: in such a child Python takes the parent's threads for alive."""
    run(
        f"""
import ctypes, os, time
from kazoo.client import KazooClient
zk = KazooClient({zookeeper_hosts + chroot!r}, timeout=5.0)
zk.start()
session = zk.client_id[0]

def woken():
    threads = set(os.listdir("/proc/self/task")) - {{str(os.getpid())}}
    states = [open(f"/proc/self/task/{{thread}}/status").read() for thread in threads]
    return [state.partition("voluntary_ctxt")[2] for state in states]

# A thread that asks for the interpreter's lock at the fork, which wakes up again and again, would
# leave it to nobody in the child.
before = None
while before != (before := woken()):
    time.sleep(0.05)
pid = ctypes.PyDLL(None).fork()
if pid == 0:
    import gevent.monkey; gevent.monkey.patch_all()
    from kazoo_gevent_patch import SequentialGeventHandler, patch_all
    patch_all()
    assert zk.get("/") and zk.client_id[0] != session
    assert type(zk.handler) is SequentialGeventHandler
    print("in the child", flush=True)
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert zk.get("/") and zk.client_id[0] == session
zk.stop()
"""
    )
