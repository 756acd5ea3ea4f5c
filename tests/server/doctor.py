"""The doctor's report, as a program reads it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kazoo.client import KazooClient

from tests.support import run_command

Report = dict[str, Any]


def findings(*arguments: str, code: int | None, env: dict[str, str] | None = None) -> list[Report]:
    """Run the doctor with --json, see that it exits so, and return what it found.

    Without a code it may exit as it likes.
    """
    result = run_command(["doctor", "--json", *arguments], env=env, check=False)
    assert "Traceback" not in result.stderr
    document: Report = json.loads(result.stdout)
    assert result.returncode == document["exit_code"]
    assert code in (None, result.returncode), result.stdout
    assert document["result"] == ("ok", "warning", "problem")[result.returncode]
    found: list[Report] = document["findings"]
    assert [finding for finding in found if not finding["values"]] == []
    assert [one for one in found if (one["level"] == "ok") != (one["advice"] == "")] == []
    return found


def doctor(*arguments: str, code: int | None, env: dict[str, str] | None = None) -> Report:
    """Run the doctor, and return its findings by check: the last where there are several."""
    found = findings(*arguments, code=code, env=env)
    return {finding["check"]: finding for finding in found}


@contextmanager
def client_of(hosts: str) -> Iterator[KazooClient]:
    """A client for the length of a block."""
    client = KazooClient(hosts)
    client.start()
    try:
        yield client
    finally:
        client.stop()
        client.close()


def children_of(hosts: str) -> list[str]:
    """Return the nodes under the chroot of a connect string."""
    with client_of(hosts) as client:
        return list(client.get_children("/"))
