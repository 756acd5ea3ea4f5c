"""A module of kazoo that is imported anew is patched anew, and ``status()`` knows."""

from __future__ import annotations

import pytest

from tests.support import run_python

BEGINNING = """
import importlib, sys
import kazoo_gevent_patch
from kazoo_gevent_patch import patch_all, status, unpatch_all
from kazoo_gevent_patch.patching.table import PATCHES

def is_whole():
    now = status()
    return len(now.applied) == len(PATCHES) and not now.armed and not now.left_alone

def originals(*classes):
    return {(kind, name): raw for kind in classes for name, raw in vars(kind).items()}

def use(client):
    from kazoo.handlers.threading import KazooTimeoutError
    assert type(client.handler) is kazoo_gevent_patch.SequentialGeventHandler, client.handler
    assert client.handler.timeout_exception is KazooTimeoutError
    client.start()
    with client.Lock("/anew"):
        assert client.exists("/anew")
    client.stop()
    client.close()

def drop(prefix):
    for name in [name for name in sys.modules if name.startswith(prefix)]:
        del sys.modules[name]
"""

PROGRAMS = {
    "a client of a reloaded kazoo.client is on ours, and one from before still is": """
        patch_all()
        import kazoo.client
        old_class, old = kazoo.client.KazooClient, kazoo.client.KazooClient(HOSTS)
        importlib.reload(kazoo.client)
        assert kazoo.client.KazooClient is not old_class
        assert is_whole(), str(status())
        use(kazoo.client.KazooClient(HOSTS)), use(old), use(old_class(HOSTS))
    """,
    "so it is when kazoo.client alone is dropped and imported anew": """
        import kazoo.client
        patch_all()
        old = kazoo.client.KazooClient(HOSTS)
        del sys.modules["kazoo.client"]
        now = status()
        assert not now.applied or "kazoo.client.KazooClient.stop" not in now.applied, str(now)
        assert "kazoo.client.KazooClient.stop" in now.armed, str(now)
        from kazoo.client import KazooClient
        assert type(old) is not KazooClient and is_whole(), str(status())
        use(KazooClient(HOSTS)), use(old)
    """,
    "so it is when all of kazoo is": """
        patch_all()
        from kazoo.client import KazooClient as OldClient
        from kazoo.retry import KazooRetry as OldRetry
        from kazoo_gevent_patch import SequentialGeventHandler as OldHandler
        old = OldClient(HOSTS)
        drop("kazoo.")
        now = status()
        assert not now.applied and len(now.armed) == len(PATCHES), str(now)
        from kazoo.client import KazooClient
        from kazoo.retry import KazooRetry
        assert KazooClient is not OldClient and KazooRetry is not OldRetry
        assert is_whole(), str(status())
        use(KazooClient(HOSTS)), use(KazooClient(HOSTS, connection_retry=KazooRetry(max_tries=3)))
        assert type(old.handler) is OldHandler is not kazoo_gevent_patch.SequentialGeventHandler
        old.start(), old.get_children("/"), old.stop()
        import gc
        gc.collect()
        before, new = sum(status().handlers.values()), KazooClient(HOSTS)
        assert sum(status().handlers.values()) == before + 1, str(status())
    """,
    "so it is when patch_all() comes after kazoo was dropped and imported anew": """
        import kazoo.client
        kazoo_gevent_patch.SequentialGeventHandler
        drop("kazoo.")
        from kazoo.client import KazooClient
        patch_all()
        assert is_whole(), str(status())
        use(KazooClient(HOSTS))
    """,
    "reloading any module that has rows applies them anew": """
        patch_all()
        import kazoo.client
        for name in dict.fromkeys(patch.module for patch in PATCHES):
            importlib.reload(sys.modules[name])
            assert is_whole(), (name, str(status()))
    """,
    "unpatch_all() puts the originals back in the old module and in the new one": """
        import kazoo.client, kazoo.recipe.lock
        old = [kazoo.client.KazooClient, kazoo.recipe.lock.Lock]
        before = originals(*old)
        patch_all()
        importlib.reload(kazoo.recipe.lock), importlib.reload(kazoo.client)
        new = [kazoo.client.KazooClient, kazoo.recipe.lock.Lock]
        unpatch_all()
        assert originals(*old) == before
        assert not [name for (_, name), raw in originals(*new).items()
                    if hasattr(raw, "__wrapped__")]
        from kazoo.handlers.threading import SequentialThreadingHandler
        for kind in (old[0], new[0]):
            assert type(kind().handler) is SequentialThreadingHandler
        patch_all()
        assert is_whole(), str(status())
    """,
    "a reload after unpatch_all() changes nothing": """
        import kazoo.client
        patch_all()
        unpatch_all()
        importlib.reload(kazoo.client)
        assert not status().applied and not status().patched
        assert not hasattr(vars(kazoo.client.KazooClient)["stop"], "__wrapped__")
    """,
    "what takes a module's place without an import is told, and patched by the next call": """
        import kazoo.client, types
        patch_all()
        anew = types.ModuleType("kazoo.client")
        anew.__spec__ = kazoo.client.__spec__
        with open(kazoo.client.__file__) as source:
            exec(compile(source.read(), kazoo.client.__file__, "exec"), vars(anew))
        sys.modules["kazoo.client"] = anew
        assert "call patch_all() again" in str(status())
        assert "kazoo.client.KazooClient.stop" not in status().applied
        patch_all()
        assert is_whole(), str(status())
        use(anew.KazooClient(HOSTS))
    """,
    "nothing of ours is left in the module's specification": """
        patch_all()
        import kazoo.client, inspect
        for holder in (kazoo.client, kazoo.client.__spec__):
            loader = getattr(holder, "__loader__", None) or holder.loader
            assert type(loader).__module__.startswith(("_frozen", "importlib")), loader
        assert "class KazooClient" in inspect.getsource(kazoo.client)
        assert importlib.util.find_spec("kazoo.client").loader.get_source("kazoo.client")
    """,
    "a finder of somebody else's that stands round others is no obstacle": """
        import wrapt
        seen = []
        wrapt.register_post_import_hook(lambda module: seen.append(module), "kazoo.client")
        patch_all()
        wrapt.register_post_import_hook(lambda module: seen.append(module), "kazoo.recipe.lock")
        sys.meta_path.insert(0, sys.meta_path.pop(1))  # theirs before ours
        import kazoo.client
        assert len(seen) == 2 and is_whole(), (seen, str(status()))
    """,
}


@pytest.mark.parametrize("behaviour", PROGRAMS)
def test_in_a_process_of_its_own(behaviour: str, zookeeper_hosts: str) -> None:
    """What the parameter says holds in a fresh interpreter."""
    lines = (line.removeprefix(" " * 8) for line in PROGRAMS[behaviour].splitlines())
    result = run_python(f"HOSTS = {zookeeper_hosts!r}\n{BEGINNING}" + "\n".join(lines))
    assert "Traceback" not in result.stderr
