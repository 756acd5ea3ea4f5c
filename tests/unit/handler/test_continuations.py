"""Telling kazoo's own steps from an application's callbacks."""

from __future__ import annotations

import pytest

from tests.support import run_python

REPLACED = {
    "capture_exceptions": """
def replaced(result):
    def decorator(func):
        @functools.wraps(func)
        def captured(*args, **kwargs):
            return func(*args, **kwargs)
        return captured
    return decorator
""",
    "wrap": "replaced = lambda result: lambda function: function",
}


@pytest.mark.parametrize("name", REPLACED)
def test_a_program_may_replace_a_decorator_of_kazoos(name: str) -> None:
    """Such as with one that logs what it captures."""
    run_python(
        f"""
import functools
import kazoo.handlers.utils
{REPLACED[name]}
kazoo.handlers.utils.{name} = replaced
from kazoo_gevent_patch import SequentialGeventHandler, patch_all
patch_all()
from kazoo.client import KazooClient
assert type(KazooClient().handler) is SequentialGeventHandler
"""
    )
