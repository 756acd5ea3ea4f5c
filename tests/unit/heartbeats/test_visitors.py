"""When the helper thread answers ``kazoo-gevent-patch inspect``: while a handler runs."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from kazoo_gevent_patch import SequentialGeventHandler, patch_all
from kazoo_gevent_patch.heartbeats import visitors
from kazoo_gevent_patch.heartbeats.helper import Helper
from kazoo_gevent_patch.settings.environment import INSPECT, KEEP_SESSIONS


class Recorder(Helper):
    """A helper that starts no thread."""

    def _start(self) -> None:
        pass

    def is_answering(self) -> bool:
        return bool(self._attended)


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Give a helper, in the place of the process's own."""
    patch_all()  # with the default; what another test chose last would hold
    helper = Recorder()
    monkeypatch.setattr(visitors, "helper", helper)
    return helper


@pytest.fixture
def handlers() -> Iterator[list[Any]]:
    """Give two handlers, which are stopped after the test."""
    handlers = [SequentialGeventHandler(), SequentialGeventHandler()]
    yield handlers
    for handler in handlers:
        handler.stop()


def test_it_answers_from_the_first_start_to_the_last_stop(
    helper: Recorder, handlers: list[Any]
) -> None:
    """However often a handler is started or stopped."""
    one, other = handlers
    assert not helper.is_answering()
    for _ in range(2):
        for handler in (one, one, other):
            handler.start()
            assert helper.is_answering()
        one.stop()
        one.stop()
        assert helper.is_answering()
        other.stop()
        assert not helper.is_answering()


def test_a_handler_that_is_gone_is_waited_for_by_nobody(helper: Recorder) -> None:
    """The next stop ends it."""
    lost = SequentialGeventHandler()
    lost.start()
    del lost
    gc.collect()
    last = SequentialGeventHandler()
    last.start()
    last.stop()
    assert not helper.is_answering()


@pytest.mark.parametrize(
    ("keep", "variables", "answers"),
    [
        (True, {}, True),
        (5.0, {}, True),
        (False, {}, False),
        (True, {KEEP_SESSIONS: "0"}, False),
        (True, {INSPECT: "0"}, False),
        (False, {INSPECT: "1"}, True),
        (False, {INSPECT: "what"}, False),
    ],
)
def test_who_wants_no_helper_thread_has_none(
    helper: Recorder,
    handlers: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    keep: Any,
    variables: dict[Any, str],
    answers: bool,
) -> None:
    """It is there where sessions are kept, or where the environment asks for it."""
    for variable, value in variables.items():
        monkeypatch.setenv(variable.variable, value)
    patch_all(keep_sessions=keep)
    handlers[0].start()
    assert helper.is_answering() is answers


def test_the_master_of_uwsgi_does_not_answer(
    helper: Recorder, handlers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must have no thread that runs Python."""
    monkeypatch.setattr(visitors, "is_uwsgi_master", lambda: True)
    handlers[0].start()
    assert not helper.is_answering()


def test_a_stop_and_a_start_at_once_leave_it_answering(
    helper: Recorder, handlers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may start its handler between the last look and the end."""
    one, other = handlers
    one.start()
    remove = helper.remove

    def start_first(thing: Any) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(visitors, "helper", helper)
        other.start()
        remove(thing)

    monkeypatch.setattr(helper, "remove", start_first)
    one.stop()
    assert helper.is_answering()
