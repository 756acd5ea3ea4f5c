"""Importing kazoo in two threads at once, patched before: neither waits for the other for ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.process.import_pairs import PAIRS
from tests.support import run_python

SAMPLE = [
    ("kazoo.recipe.lock", "kazoo.recipe.party"),
    ("kazoo.client", "kazoo.recipe.party"),
    ("kazoo.client", "kazoo.recipe.barrier"),
    ("kazoo.client", "kazoo.retry"),
    ("kazoo.client", "kazoo.handlers.gevent"),
    ("kazoo.client", "kazoo.recipe.cache"),
    ("kazoo.client", "kazoo.client"),
]
"""Half of them waited for each other nearly each time, when rows were applied under a lock."""


def walk(pairs: list[tuple[str, str]], rounds: int, forks: bool, timeout: float) -> Any:
    arguments = ["-m", "tests.process.import_pairs", json.dumps([pairs, rounds, forks])]
    result = run_python(arguments, timeout=timeout)
    report = json.loads(result.stdout)
    print(report)
    assert not report["wrong"], result.stderr
    return report


@pytest.mark.parametrize("forks", [False, True], ids=["", "with a fork in the middle of one"])
def test_two_first_imports_at_once(forks: bool) -> None:
    """Both end, and all rows are applied when ``kazoo.client`` is one of them."""
    assert walk(SAMPLE, 5, forks, timeout=110)["pairs"] == len(SAMPLE)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("rounds", "forks"), [(20, False), (10, True)], ids=["", "with a fork in the middle of one"]
)
def test_every_pair_of_modules_at_once(rounds: int, forks: bool) -> None:
    """The same for every two modules of kazoo, 20 times each; 10 times with a fork."""
    assert walk([], rounds, forks, timeout=840)["pairs"] == len(PAIRS) == 300
