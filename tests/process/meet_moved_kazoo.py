"""Programs that meet copies of kazoo, each in a child of this process, which has only gevent."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
import time
import traceback
from types import FunctionType
from typing import Any

import gevent.socket
import gevent.ssl  # noqa: F401 - what our rooms need, imported once for all children

import kazoo_gevent_patch
from kazoo_gevent_patch.errors import UnsupportedKazooError

LIMIT = 60.0


def changed() -> list[str]:
    """Return the attributes of kazoo that are of our making."""
    found = []
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "kazoo":
            for key, value in vars(module).items():
                members = vars(value).items() if isinstance(value, type) else ()
                found += [f"{name}.{key}" for _ in [0] if is_ours(value)]
                found += [f"{name}.{key}.{member}" for member, raw in members if is_ours(raw)]
    return found


def is_ours(value: Any) -> bool:
    home = type(value).__module__
    if isinstance(value, FunctionType):
        home = str(value.__globals__["__name__"])
        sleeps = value.__defaults__ or ()
        home += "".join(str(getattr(default, "__module__", "")) for default in sleeps)
    return "kazoo_gevent_patch" in home


def meet(meeting: dict[str, str], hosts: str) -> None:
    sys.path.insert(0, meeting["folder"])
    log = io.StringIO()
    logging.getLogger("kazoo_gevent_patch").addHandler(logging.StreamHandler(log))
    if meeting["order"] == "patch first":
        assert kazoo_gevent_patch.patch_all().patched
        import kazoo.client

        text = kazoo_gevent_patch.status().refused
        assert text, "no misfit was found"
        assert log.getvalue().splitlines() == [f"kazoo is not patched: {text}"], log.getvalue()
        assert text in str(kazoo_gevent_patch.status())
    else:
        import kazoo.client

        try:
            kazoo_gevent_patch.patch_all()
        except UnsupportedKazooError as error:
            text = str(error)
        else:
            raise AssertionError("no misfit was found")
    assert kazoo.client.__file__.startswith(meeting["folder"])
    assert meeting["named"] in text, text
    assert f"kazoo {kazoo.__version__} " in text, text
    assert "\n" not in text, text
    look_for_traces()
    use(hosts)
    __import__("kazoo.recipe.cache")  # what is imported later stays as it is, too
    look_for_traces()


def look_for_traces() -> None:
    now = kazoo_gevent_patch.status()
    assert not now.patched, now
    assert not now.applied, now
    assert not now.armed, now
    assert not changed(), changed()


def use(hosts: str) -> None:
    from kazoo.client import KazooClient

    client = KazooClient(hosts)
    assert type(client.handler).__module__ == "kazoo.handlers.threading"
    client.start()
    client.get_children("/")
    client.stop()
    client.close()


def outcome_of(meeting: dict[str, str], hosts: str) -> str:
    """Return ``ok``, or what went wrong, of a meeting in a child."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            meet(meeting, hosts)
            text = "ok"
        except BaseException:
            text = f"{meeting['what']}, {meeting['order']}: {traceback.format_exc()}"
        os.write(writer, text.encode()[-4000:])
        os._exit(0)
    os.close(writer)
    deadline = time.monotonic() + LIMIT
    while not os.waitpid(child, os.WNOHANG)[0]:
        if time.monotonic() > deadline:
            os.kill(child, 9)
            os.waitpid(child, 0)
            return f"{meeting['what']}, {meeting['order']}: no end in {LIMIT} s"
        time.sleep(0.005)
    with open(reader, "rb") as pipe:
        return pipe.read().decode()


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        meetings = json.load(file)
    for each in meetings:
        print(json.dumps(outcome_of(each, sys.argv[2])), flush=True)
