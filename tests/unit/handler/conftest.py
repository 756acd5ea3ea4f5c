"""What the tests of the handler share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kazoo_gevent_patch import SequentialGeventHandler


@pytest.fixture
def handler() -> Iterator[SequentialGeventHandler]:
    """Give a handler that is started, and stopped after the test."""
    handler = SequentialGeventHandler()
    handler.start()
    yield handler
    handler.stop()
