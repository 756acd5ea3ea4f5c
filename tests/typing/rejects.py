"""A program of mistakes: behind each line, the errors of mypy and of pyright."""

from __future__ import annotations

from kazoo_gevent_patch import AsyncResult, SequentialGeventHandler, patch_all, patched, status

patch_all(fork="restart")  # mypy: arg-type; pyright: reportArgumentType
patch_all(True)  # mypy: call-arg; pyright: reportCallIssue
patch_all(handler="gevent")  # mypy: call-arg; pyright: reportCallIssue
patch_all(replace_explicit="yes")  # mypy: arg-type; pyright: reportArgumentType
patch_all(keep_sessions="yes")  # mypy: arg-type; pyright: reportArgumentType
patch_all().applied.append("more")  # mypy: attr-defined; pyright: reportAttributeAccessIssue
status().patched = False  # mypy: misc; pyright: reportAttributeAccessIssue
status().options.fork = "stop"  # mypy: misc; pyright: reportAttributeAccessIssue
with patched(fork=None) as state:  # mypy: arg-type; pyright: reportArgumentType
    state.client  # mypy: attr-defined; pyright: reportAttributeAccessIssue

handler = SequentialGeventHandler(10)  # mypy: call-arg; pyright: reportCallIssue
result: AsyncResult = handler.spawn(print)  # mypy: assignment; pyright: reportAssignmentType
handler.async_result().rawlink("callback")  # mypy: arg-type; pyright: reportArgumentType
handler.async_result().get(timeout="1")  # mypy: arg-type; pyright: reportArgumentType
handler.lock_object().acquire(timeout="1")  # mypy: arg-type; pyright: reportArgumentType
