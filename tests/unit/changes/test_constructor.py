"""What a patched ``KazooClient`` is built with, and refuses to be built with."""

from __future__ import annotations

import copy
import gc
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from kazoo.client import KazooClient
from kazoo.exceptions import ConfigurationError
from kazoo.handlers.gevent import SequentialGeventHandler as StockGeventHandler
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.retry import KazooRetry

from kazoo_gevent_patch import SequentialGeventHandler, patch_all, unpatch_all

HOSTS = "127.0.0.1:9"


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    patch_all()
    yield
    unpatch_all()


class WithOwnConstructor(KazooClient):  # type: ignore[misc]
    """A subclass as applications have them."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        self.name = name
        super().__init__(*args, **kwargs)


class UnboundCall(KazooClient):  # type: ignore[misc]
    """A subclass that calls the base class's constructor by name."""

    def __init__(self) -> None:
        KazooClient.__init__(self, HOSTS, 5.0)


@pytest.mark.parametrize(
    "build",
    [
        KazooClient,
        lambda: KazooClient(HOSTS),
        lambda: KazooClient(hosts=HOSTS, timeout=5.0),
        lambda: KazooClient(handler=None),
        lambda: KazooClient(HOSTS, 10.0, None, None),
        lambda: KazooClient(HOSTS, 10.0, None, None, None, None, None, True),
        lambda: WithOwnConstructor("name", HOSTS, timeout=5.0),
        UnboundCall,
    ],
)
def test_without_a_handler_it_is_ours(build: Callable[[], KazooClient]) -> None:
    """However the other arguments are passed."""
    assert type(build().handler) is SequentialGeventHandler


def test_a_constructor_called_unbound_spoils_nothing() -> None:
    """KazooClient.__init__(self, ...), by keyword and by position, before and after others."""
    for _ in range(2):
        by_keyword = KazooClient.__new__(KazooClient)
        KazooClient.__init__(by_keyword, hosts=HOSTS)
        by_position = KazooClient.__new__(KazooClient)
        KazooClient.__init__(by_position, HOSTS, 10.0, None)
        for client in (by_keyword, by_position, KazooClient(HOSTS, 10.0, None, None, None)):
            assert type(client.handler) is SequentialGeventHandler
    gone = weakref.ref(by_keyword)
    del by_keyword, client
    gc.collect()
    assert gone() is None


def test_the_other_arguments_arrive() -> None:
    """Positional and keyword arguments reach kazoo as they were passed."""
    client = KazooClient(HOSTS + "/chroot", 7.5, (5, b"p" * 16), None, read_only=True)
    assert (client.chroot, client._session_timeout) == ("/chroot", 7500)
    assert (client._session_id, client._session_passwd) == (5, b"p" * 16)
    assert client.read_only is True


class HandlerOfTheirs(SequentialThreadingHandler):  # type: ignore[misc]
    """A handler class of an application's own, as Patroni has one."""


@pytest.mark.parametrize("make", [SequentialThreadingHandler, StockGeventHandler, HandlerOfTheirs])
@pytest.mark.parametrize("positional", [True, False])
def test_a_handler_that_is_passed_is_used(make: type, positional: bool) -> None:
    """The caller's instance, whichever way it is passed."""
    handler = make()
    client = KazooClient(HOSTS, 10.0, None, handler) if positional else KazooClient(handler=handler)
    assert client.handler is handler


@pytest.mark.parametrize(
    ("make", "replaced"),
    [
        (SequentialThreadingHandler, True),
        (StockGeventHandler, True),
        (HandlerOfTheirs, False),
        (SequentialGeventHandler, False),
    ],
)
def test_replace_explicit_replaces_kazoos_own_two_and_no_others(make: type, replaced: bool) -> None:
    """Exact instances only; a subclass is the application's own."""
    patch_all(replace_explicit=True)
    handler = make()
    client = KazooClient(handler=handler)
    assert type(client.handler) is (SequentialGeventHandler if replaced else make)
    assert (client.handler is handler) is not replaced


def test_what_kazoo_refuses_is_refused_in_kazoos_words() -> None:
    """A handler class, an unknown keyword, too many arguments, an argument passed twice."""
    calls: list[Callable[[], object]] = [
        lambda: KazooClient(handler=SequentialThreadingHandler),
        lambda: KazooClient(handler=SequentialThreadingHandler, connection_retry={"delay": 1}),
        lambda: KazooClient(no_such_keyword=1),
        lambda: KazooClient(*range(40)),
        lambda: KazooClient(HOSTS, 10.0, None, None, handler=None),
        lambda: KazooClient("/nosuchhost/a"),
        lambda: KazooClient(connection_retry={"no_such_keyword": 1}),
    ]
    for call in calls:
        with pytest.raises((TypeError, ValueError, ConfigurationError)) as with_us:
            call()
        unpatch_all()
        with pytest.raises(type(with_us.value)) as without_us:
            call()
        patch_all()
        assert str(with_us.value) == str(without_us.value)


def foreign_sleep(seconds: float) -> None:
    """Stand for a sleep function of an application's own."""


KNOWN_SLEEPS = [
    time.sleep,
    gevent.sleep,
    SequentialThreadingHandler.sleep_func,
    SequentialGeventHandler.sleep_func,
]
HANDLERS: list[Callable[[], Any]] = [
    lambda: None,
    SequentialThreadingHandler,
    HandlerOfTheirs,
    StockGeventHandler,
    SequentialGeventHandler,
]


@pytest.mark.parametrize("which", ["connection_retry", "command_retry"])
@pytest.mark.parametrize("make_handler", HANDLERS)
@pytest.mark.parametrize("sleep", [None, *KNOWN_SLEEPS])
@pytest.mark.parametrize("as_dict", [True, False])
def test_retry_options_fit_whatever_the_handler(
    which: str,
    make_handler: Callable[[], Any],
    sleep: Callable[[float], None] | None,
    as_dict: bool,
) -> None:
    """Objects and dicts with any known sleep function are accepted, copied, and aligned."""
    options: dict[str, Any] = {"max_tries": 3, "delay": 0.2}
    if sleep is not None:
        options["sleep_func"] = sleep
    retry: Any = dict(options) if as_dict else KazooRetry(**options, ignore_expire=False)
    before = dict(retry) if as_dict else dict(vars(retry))
    client = KazooClient(handler=make_handler(), **{which: retry})
    used = client._conn_retry if which == "connection_retry" else client._retry
    assert (used.max_tries, used.delay) == (3, 0.2)
    assert used.sleep_func == client.handler.sleep_func
    if not as_dict:
        assert used.retry_exceptions == retry.retry_exceptions
    assert (dict(retry) if as_dict else vars(retry)) == before


def test_retry_objects_from_before_are_accepted() -> None:
    """Made before patch_all(), with kazoo's own default sleep function."""
    unpatch_all()
    retry = KazooRetry(max_tries=5)
    patch_all()
    shared = copy.copy(vars(retry))
    clients = [KazooClient(connection_retry=retry, command_retry=retry) for _ in range(2)]
    assert [client._retry.max_tries for client in clients] == [5, 5]
    assert vars(retry) == shared


def test_retry_objects_may_be_passed_by_position() -> None:
    """The ninth and tenth argument, as kazoo has them."""
    arguments = [HOSTS, 10.0, None, None, None, None, None, None, True]
    client = KazooClient(*arguments, KazooRetry(max_tries=4), {"max_tries": 6})
    assert (client._conn_retry.max_tries, client._retry.max_tries) == (4, 6)


@pytest.mark.filterwarnings("ignore:Passing retry configuration:DeprecationWarning")
def test_the_deprecated_keywords_still_work() -> None:
    """max_retries and its siblings."""
    client = KazooClient(max_retries=7, retry_delay=0.3, retry_backoff=3, retry_max_delay=9)
    assert type(client.handler) is SequentialGeventHandler
    for retry in (client._conn_retry, client._retry):
        assert (retry.max_tries, retry.delay, retry.backoff, retry.max_delay) == (7, 0.3, 3, 9)
        assert retry.sleep_func is SequentialGeventHandler.sleep_func


def test_a_sleep_function_of_ones_own_is_judged_by_kazoo() -> None:
    """It is neither replaced nor let through: kazoo's ConfigurationError, as without us."""
    with pytest.raises(ConfigurationError, match="sleep func"):
        KazooClient(connection_retry=KazooRetry(sleep_func=foreign_sleep))
    with pytest.raises(ConfigurationError, match="sleep func"):
        KazooClient(command_retry={"sleep_func": foreign_sleep})


def test_undo_gives_retry_objects_from_before_their_sleep_function_back() -> None:
    """kazoo's default handler accepts no other."""
    unpatch_all()
    retry = KazooRetry(max_tries=5)
    before = copy.copy(vars(retry))
    patch_all()
    unpatch_all()
    assert vars(retry) == before
    assert KazooClient(connection_retry=retry)._conn_retry is retry


@pytest.mark.parametrize("made", ["before patch_all()", "since"])
def test_a_retry_object_on_its_own_sleeps_cooperatively(made: str) -> None:
    """KazooRetry() outside any client lets other greenlets run while it waits."""
    from kazoo.exceptions import ConnectionLoss

    if made == "before patch_all()":
        unpatch_all()
    retry = KazooRetry(max_tries=-1, delay=0.05, max_jitter=0.0)
    patch_all()
    ticks: list[int] = []
    attempts: list[int] = []

    def fails_twice() -> str:
        attempts.append(len(ticks))
        if len(attempts) < 3:
            raise ConnectionLoss
        return "done"

    def tick() -> None:
        while True:
            gevent.sleep(0.001)
            ticks.append(1)

    ticker = gevent.spawn(tick)
    assert retry(fails_twice) == "done"
    ticker.kill()
    assert attempts[0] == 0
    assert attempts[1] > 0
    assert attempts[2] > attempts[1]
