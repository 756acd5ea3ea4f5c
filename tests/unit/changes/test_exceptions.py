"""The exceptions of this package."""

from __future__ import annotations

import pickle

import pytest

from kazoo_gevent_patch import errors
from kazoo_gevent_patch.changes.orphans import EventLoopEndedError
from kazoo_gevent_patch.changes.sections import ParentHoldsError
from kazoo_gevent_patch.changes.server_errors import UnknownServerError
from kazoo_gevent_patch.handler.result import ResultTimeout
from kazoo_gevent_patch.patching.check import CannotJudgeError

EXCEPTIONS = [
    *(
        kind("text")
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    ),
    CannotJudgeError("text"),
    EventLoopEndedError(),
    ParentHoldsError("/lock"),
    ResultTimeout(3.0),
    UnknownServerError(-200),
]


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_it_is_the_same_behind_a_pickle(error: Exception) -> None:
    """A pool of processes that cannot read what a task raised is broken for all tasks."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)
