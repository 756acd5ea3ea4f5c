"""What is called in a forked child, and when a native thread ends: each, whatever others raise."""

from __future__ import annotations

import os
import threading

import pytest

from kazoo_gevent_patch.loop import forks, threads


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a hook that fails before all others."""

    def fail(_: object) -> None:
        raise ValueError("bang")

    monkeypatch.setattr(forks, "hooks", [fail, *forks.hooks])
    monkeypatch.setattr(threads, "hooks", [fail, *threads.hooks])


@pytest.mark.usefixtures("failing")
def test_a_hook_for_a_fork_that_fails_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The child knows that this thread is the only one that goes on; the failure is logged."""
    threads.this_thread()
    seen: list[object] = []
    forks.hooks.append(seen.append)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if seen and "bang" in caplog.text else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert seen == []


@pytest.mark.usefixtures("failing")
def test_a_hook_for_the_end_of_a_thread_that_fails_keeps_no_other_from_running(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The event loop that was made for the thread ends too."""
    seen: list[object] = []
    threads.hooks.append(seen.append)
    hubs: list[object] = []
    thread = threading.Thread(target=lambda: hubs.append(threads.hub_bound_to_thread()))
    thread.start()
    thread.join()
    assert len(seen) == 1
    assert hubs[0].loop is None  # type: ignore[attr-defined]
    assert "bang" in caplog.text
