"""``patched()`` blocks that overlap, and calls that fail: who asked for what is kept apart."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import gevent
import kazoo.client
import pytest
import wrapt
from gevent.event import Event
from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler

from kazoo_gevent_patch import (
    SequentialGeventHandler,
    inventory,
    is_patched,
    patch_all,
    patched,
    status,
    unpatch_all,
)
from kazoo_gevent_patch.errors import UnsupportedKazooError
from kazoo_gevent_patch.patching.registry import Registry
from kazoo_gevent_patch.patching.table import PATCHES, Patch
from kazoo_gevent_patch.settings.options import Options, in_force
from tests.unit.patching.test_patches import kazoo_attributes

WRAPPED = [row for row in PATCHES if row.how == "wrap"]


def is_on_ours() -> bool:
    kind = type(KazooClient().handler)
    assert kind in (SequentialGeventHandler, SequentialThreadingHandler)
    return kind is SequentialGeventHandler


class Block:
    """A greenlet in a ``patched()`` block, which it leaves when told to."""

    def __init__(self, **options: Any) -> None:
        self._leave, self.inside = Event(), Event()
        self._greenlet = gevent.spawn(self._run, options)
        assert self.inside.wait(10)

    def _run(self, options: dict[str, Any]) -> None:
        with patched(**options):
            self.inside.set()
            self._leave.wait(30)

    def leave(self) -> None:
        self._leave.set()
        self._greenlet.get(timeout=10)


@pytest.mark.parametrize("first_out", [0, 1])
def test_overlapping_blocks_end_with_the_last_one(first_out: int) -> None:
    """In either order; the originals are back then, and not before."""
    before = kazoo_attributes()
    blocks = [Block(), Block()]
    blocks.pop(first_out).leave()
    assert is_patched()
    assert is_on_ours()
    blocks.pop().leave()
    assert not is_patched()
    assert not is_on_ours()
    after = kazoo_attributes()
    assert [key for key in before if after[key] is not before[key]] == []


def test_the_options_are_those_of_the_block_that_began_last() -> None:
    """Of those that have not ended."""
    stop, ignore = Block(fork="stop"), Block(fork="ignore")
    assert status().options.fork == "ignore"
    stop.leave()
    assert status().options.fork == "ignore"
    again = Block(fork="stop")
    assert status().options.fork == "stop"
    again.leave()
    assert status().options.fork == "ignore"
    ignore.leave()
    assert in_force() is None


def test_what_patch_all_asked_for_in_a_block_stays() -> None:
    """Who calls it knows nothing of the block, and did not ask for its end."""
    with patched(fork="stop"):
        patch_all(fork="ignore")
        assert status().options.fork == "ignore"
    assert is_on_ours()
    assert status().options.fork == "ignore"


def test_unpatch_all_in_a_block_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    """And its own end changes nothing any more, whatever has come since."""
    with patched():
        unpatch_all()
        assert not is_on_ours()
        patch_all()
    assert is_on_ours()
    with patched():
        unpatch_all()
    assert not is_patched()
    assert not caplog.records


CHANGES = {
    "raises anything": Patch(
        "kazoo.client", "KazooClient.stop", "value", "retries:cooperative_defaults", "test"
    ),
    "has no room": Patch("kazoo.client", "KazooClient.stop", "wrap", "no_such_room:init", "test"),
    "has no function": Patch("kazoo.client", "KazooClient.stop", "wrap", "client:nothing", "test"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_row_that_fails_in_whatever_way_is_a_misfit(change: str) -> None:
    """By name, and with the others of its kind; nothing is changed."""
    before = kazoo_attributes()
    rows = (PATCHES[0], CHANGES[change])
    registry = Registry(rows)
    with pytest.raises(UnsupportedKazooError, match=r"kazoo\.client\.KazooClient\.stop cannot"):
        registry.request("test", Options())
    assert not registry.wanted
    assert not registry.in_effect()
    after = kazoo_attributes()
    assert [key for key in before if after[key] is not before[key]] == []


def test_a_change_that_cannot_be_written_takes_back_those_before_it() -> None:
    """Here, of a class that is built in; with the error as it is."""
    before = kazoo_attributes()
    unwritable = Patch("kazoo.client", "partial.func", "value", "retries:aligned", "test")
    registry = Registry((*PATCHES, unwritable))
    with pytest.raises(TypeError, match="immutable"):
        registry.request("test", Options())
    assert not registry.wanted
    assert in_force() is None
    after = kazoo_attributes()
    assert [key for key in before if after[key] is not before[key]] == []


def test_nobody_sees_a_half_patched_kazoo() -> None:
    """Wherever another thread, or a signal's handler, could come in between."""
    seen = set()

    def look(frame: FrameType, event: str, arg: object) -> Any:
        if frame.f_globals["__name__"] != Registry.__module__:
            return None
        found = (wrapt.resolve_path(sys.modules[row.module], row.target) for row in WRAPPED)
        seen.add(sum(hasattr(value, "__wrapped__") for _, _, value in found))
        return look

    registry = Registry(PATCHES)
    sys.settrace(look)
    try:
        registry.request("test", Options())
        registry.withdraw("test")
    finally:
        sys.settrace(None)
    assert seen == {0, len(WRAPPED)}


def test_all_misfits_are_named_at_once() -> None:
    """Rows and names of the contract alike, with the release and what to do."""
    rows = [
        Patch("kazoo.client", f"KazooClient.{name}", "wrap", "client:init", "") for name in "ab"
    ]
    with pytest.raises(UnsupportedKazooError) as raised:
        Registry(rows).request("test", Options())
    text = str(raised.value)
    assert "there is no kazoo.client.KazooClient.a; there is no kazoo.client.KazooClient.b" in text
    assert text.startswith(f"kazoo {kazoo.__version__} with gevent {gevent.__version__}")
    assert "Install a kazoo of 2.8.0 to" in text


@pytest.fixture
def failing_search(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Have the search for earlier clients raise."""

    def fail(error: BaseException) -> None:
        def find() -> None:
            raise error

        monkeypatch.setattr(inventory, "find", find)

    return fail


@pytest.mark.parametrize("error", [TypeError("no weak references"), KeyboardInterrupt()])
@pytest.mark.parametrize("begin", [patch_all, lambda: patched().__enter__()], ids=["call", "block"])
def test_whatever_comes_out_of_patch_all_leaves_all_as_it_was(
    error: BaseException,
    begin: Callable[[], object],
    failing_search: Callable[[BaseException], None],
) -> None:
    """An error after the rows were applied, or an interrupt, takes them back."""
    before = kazoo_attributes()
    failing_search(error)
    with pytest.raises(type(error)):
        begin()
    assert not is_patched()
    assert in_force() is None
    after = kazoo_attributes()
    assert [key for key in before if after[key] is not before[key]] == []


class Broken(KazooClient):  # type: ignore[misc]
    """A client with a property that raises."""

    broken = False

    @property
    def handler(self) -> Any:
        if self.broken:
            raise ValueError("not now")
        return self._handler

    @handler.setter
    def handler(self, value: Any) -> None:
        self._handler = value


def test_one_earlier_client_that_is_broken_is_no_obstacle(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is named in the log, and left alone."""
    client = Broken()
    client.broken = True
    with caplog.at_level(logging.ERROR, logger="kazoo_gevent_patch"):
        assert patch_all().patched
    assert "A Broken from before patch_all() is left as it is" in caplog.text
    assert "an unknown handler (ValueError('not now'))" in str(status())
    client.broken = False
