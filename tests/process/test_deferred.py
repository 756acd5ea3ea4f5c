"""Patching before kazoo is imported, while it is imported, and from several threads."""

from __future__ import annotations

import pytest

from tests.support import run_python

NO_KAZOO = """
assert not [name for name in sys.modules if name.partition(".")[0] == "kazoo"], "kazoo imported"
"""

PROGRAMS = {
    "neither importing the package nor patch_all() nor status() imports kazoo": """
        import kazoo_gevent_patch
        {no_kazoo}
        now = kazoo_gevent_patch.patch_all()
        {no_kazoo}
        assert now.patched and len(now.armed) == len(PATCHES) and not now.applied, str(now)
        assert "until kazoo is imported" in str(now)
        assert kazoo_gevent_patch.is_patched()
        dir(kazoo_gevent_patch), kazoo_gevent_patch.status()
        {no_kazoo}
        import kazoo.client
        now = kazoo_gevent_patch.status()
        assert len(now.applied) == len(PATCHES) and not now.armed, str(now)
    """,
    "unpatch_all() before kazoo is imported leaves it untouched": """
        import kazoo_gevent_patch
        kazoo_gevent_patch.patch_all()
        kazoo_gevent_patch.unpatch_all()
        assert not kazoo_gevent_patch.is_patched()
        from kazoo.client import KazooClient
        from kazoo.handlers.threading import SequentialThreadingHandler
        assert type(KazooClient().handler) is SequentialThreadingHandler
        assert not hasattr(vars(KazooClient)["__init__"], "__wrapped__")
        assert kazoo_gevent_patch.status().applied == ()
        kazoo_gevent_patch.patch_all()
        assert type(KazooClient().handler) is kazoo_gevent_patch.SequentialGeventHandler
    """,
    "switching on and off before the import applies each change once": """
        import kazoo_gevent_patch
        for _ in range(3):
            kazoo_gevent_patch.patch_all()
            kazoo_gevent_patch.unpatch_all()
        kazoo_gevent_patch.patch_all()
        from kazoo.client import KazooClient
        wrapper = vars(KazooClient)["__init__"]
        assert hasattr(wrapper, "__wrapped__")
        assert not hasattr(wrapper.__wrapped__, "__wrapped__")
        kazoo_gevent_patch.unpatch_all()
        assert not hasattr(vars(KazooClient)["__init__"], "__wrapped__")
    """,
    "the classes are importable from the package, lazily": """
        import kazoo_gevent_patch
        assert set(kazoo_gevent_patch.__all__) <= set(dir(kazoo_gevent_patch))
        from kazoo_gevent_patch import AsyncResult, SequentialGeventHandler
        import kazoo.handlers.gevent, gevent.event
        assert issubclass(SequentialGeventHandler, kazoo.handlers.gevent.SequentialGeventHandler)
        assert issubclass(AsyncResult, gevent.event.AsyncResult)
        try:
            kazoo_gevent_patch.NoSuchName
        except AttributeError as error:
            assert "NoSuchName" in str(error)
        else:
            raise AssertionError("no AttributeError")
    """,
    "a kazoo that does not fit is reported when it is imported, and kazoo still works": """
        import logging, io
        log = io.StringIO()
        logging.basicConfig(stream=log)
        import kazoo_gevent_patch
        kazoo_gevent_patch.patch_all()
        import kazoo.protocol.connection  # kazoo.client is still to come
        import importlib.machinery
        exec_module = importlib.machinery.SourceFileLoader.exec_module
        def without_start_async(loader, module):
            exec_module(loader, module)
            if module.__name__ == "kazoo.client":
                module.KazooClient.begin_async = module.KazooClient.start_async
                del module.KazooClient.start_async
        importlib.machinery.SourceFileLoader.exec_module = without_start_async
        from kazoo.client import KazooClient
        from kazoo.handlers.threading import SequentialThreadingHandler
        assert type(KazooClient().handler) is SequentialThreadingHandler
        now = kazoo_gevent_patch.status()
        assert not now.applied and not now.armed and len(now.left_alone) == len(PATCHES), str(now)
        assert "no kazoo.client.KazooClient.start_async" in str(now)
        assert "kazoo is not patched" in log.getvalue()
        assert now.refused and now.refused in str(now) and now.refused in log.getvalue()
        assert not now.patched and not kazoo_gevent_patch.is_patched()
        try:
            kazoo_gevent_patch.patch_all()
        except kazoo_gevent_patch.errors.UnsupportedKazooError:
            assert not kazoo_gevent_patch.is_patched()
        else:
            raise AssertionError("no error")
    """,
    "a kazoo that is too old is refused before anything is imported or changed": """
        import importlib.metadata
        version = importlib.metadata.version
        importlib.metadata.version = lambda name: "2.7.0" if name == "kazoo" else version(name)
        import kazoo_gevent_patch
        from kazoo_gevent_patch.errors import UnsupportedKazooError
        try:
            kazoo_gevent_patch.patch_all()
        except UnsupportedKazooError as error:
            assert "kazoo 2.7.0" in str(error) and "2.8.0 or newer" in str(error)
        else:
            raise AssertionError("no error")
        assert not kazoo_gevent_patch.is_patched()
        {no_kazoo}
    """,
    "many threads may patch at once, while another imports kazoo": """
        import threading
        import kazoo_gevent_patch
        sys.setswitchinterval(1e-6)
        barrier, problems = threading.Barrier(9), []
        def patch():
            barrier.wait()
            try:
                for _ in range(20):
                    kazoo_gevent_patch.patch_all()
            except BaseException as error:
                problems.append(error)
        def import_kazoo():
            barrier.wait()
            import kazoo.client
        threads = [threading.Thread(target=patch) for _ in range(8)]
        threads.append(threading.Thread(target=import_kazoo))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert not problems, problems
        now = kazoo_gevent_patch.status()
        assert len(now.applied) == len(PATCHES) and not now.armed and not now.left_alone, str(now)
        import kazoo.client
        wrapper = vars(kazoo.client.KazooClient)["__init__"]
        assert not hasattr(wrapper.__wrapped__, "__wrapped__")
    """,
    "a module that another thread is importing is waited for": """
        import threading, importlib.machinery
        import kazoo_gevent_patch
        half, go_on = threading.Event(), threading.Event()
        exec_module = importlib.machinery.SourceFileLoader.exec_module
        def slowly(loader, module):
            if module.__name__ == "kazoo.client":
                half.set()
                assert go_on.wait(30)
            exec_module(loader, module)
        importlib.machinery.SourceFileLoader.exec_module = slowly
        importing = threading.Thread(target=__import__, args=("kazoo.client",))
        importing.start()
        assert half.wait(30)
        patching = threading.Thread(target=kazoo_gevent_patch.patch_all)
        patching.start()
        patching.join(0.2)
        assert patching.is_alive(), "patched a half imported module"
        go_on.set()
        patching.join(30), importing.join(30)
        now = kazoo_gevent_patch.status()
        assert len(now.applied) == len(PATCHES), str(now)
    """,
    "so it is when another greenlet of the same thread imports it": """
        import gevent.monkey
        gevent.monkey.patch_all()
        import importlib.machinery
        import kazoo_gevent_patch
        half = gevent.event.Event()
        exec_module = importlib.machinery.SourceFileLoader.exec_module
        def slowly(loader, module):
            if module.__name__ == "kazoo.client":
                half.set()
                gevent.sleep(0.01)  # lets the other greenlet begin to wait for this import
            exec_module(loader, module)
        importlib.machinery.SourceFileLoader.exec_module = slowly
        importing = gevent.spawn(__import__, "kazoo.client")
        assert half.wait(30)
        patching = gevent.spawn(kazoo_gevent_patch.patch_all)
        gevent.joinall([importing, patching], timeout=30, raise_error=True)
        assert importing.successful() and patching.successful()
        now = kazoo_gevent_patch.status()
        assert len(now.applied) == len(PATCHES), str(now)
    """,
    "a fork in the import that patch_all() waits for holds nobody up, here or in the child": """
        import importlib.machinery, os, threading, time
        import kazoo_gevent_patch
        half, go_on = threading.Event(), threading.Event()
        exec_module = importlib.machinery.SourceFileLoader.exec_module
        def forking(loader, module):
            if module.__name__ == "kazoo.client":
                half.set()
                assert go_on.wait(30)
                children.append(os.fork())
            exec_module(loader, module)
        children = []
        importlib.machinery.SourceFileLoader.exec_module = forking
        def load():
            import kazoo.client
            if not children[0]:
                kazoo_gevent_patch.patch_all()
                now = kazoo_gevent_patch.status()
                os._exit(0 if len(now.applied) == len(PATCHES) else 1)
        importing = threading.Thread(target=load)
        importing.start()
        assert half.wait(30)
        patching = threading.Thread(target=kazoo_gevent_patch.patch_all)
        patching.start()
        def waits():
            frame = sys._current_frames().get(patching.ident)
            names = set()
            while frame is not None:
                names.add((frame.f_globals["__name__"], frame.f_code.co_name))
                frame = frame.f_back
            return ("importlib._bootstrap", "acquire") in names and any(
                name.startswith("kazoo_gevent_patch") for name, _ in names)
        deadline = time.monotonic() + 30
        while not waits():
            assert time.monotonic() < deadline, "patch_all() does not wait for the import"
        go_on.set()
        patching.join(30), importing.join(30)
        assert not patching.is_alive() and not importing.is_alive()
        assert os.waitpid(children[0], 0)[1] == 0
        now = kazoo_gevent_patch.status()
        assert len(now.applied) == len(PATCHES), str(now)
    """,
    "the lock is free while anything is imported or logged": """
        import importlib.machinery, logging, threading
        import kazoo_gevent_patch
        from kazoo_gevent_patch.patching import switch
        looked, taken = [], []
        def look(name):
            def take():
                with switch._registry._lock:
                    taken.append(name)
            thread = threading.Thread(target=take, daemon=True)
            thread.start(), thread.join(30), looked.append(name)
        exec_module = importlib.machinery.SourceFileLoader.exec_module
        def looking(loader, module):
            look(module.__name__)
            exec_module(loader, module)
        importlib.machinery.SourceFileLoader.exec_module = looking
        class Handler(logging.Handler):
            def emit(self, record):
                look(record.getMessage())
        logging.getLogger("kazoo_gevent_patch").addHandler(Handler())
        kazoo_gevent_patch.patch_all()
        import kazoo.client
        kazoo_gevent_patch.patch_all(fork="stop")
        init = kazoo.client.KazooClient.__init__
        kazoo.client.KazooClient.__init__ = lambda *args: init(*args)
        kazoo_gevent_patch.unpatch_all()
        assert looked == taken, set(looked) - set(taken)
        for name in ("kazoo_gevent_patch.changes.client", "kazoo.recipe.cache"):
            assert name in looked, looked
        assert any("was called again" in name for name in looked)
        assert any("is not put back" in name for name in looked)
    """,
    "nothing of kazoo is applied, or changed, before kazoo.client is there": """
        import kazoo_gevent_patch, time
        kazoo_gevent_patch.patch_all()
        from kazoo.retry import KazooRetry
        import kazoo.recipe.lock
        now = kazoo_gevent_patch.status()
        assert not now.applied and len(now.armed) == len(PATCHES), str(now)
        assert time.sleep in KazooRetry.__init__.__defaults__
        import kazoo.client
        assert len(kazoo_gevent_patch.status().applied) == len(PATCHES)
        assert time.sleep not in KazooRetry.__init__.__defaults__
    """,
    "no room that is imported with kazoo.client's import imports kazoo.client": """
        import importlib, pkgutil
        import kazoo_gevent_patch
        for wing in ("changes", "handler", "stalls", "wire", "loop", "settings", "patching"):
            package = importlib.import_module("kazoo_gevent_patch." + wing)
            for room in pkgutil.iter_modules(package.__path__):
                importlib.import_module(package.__name__ + "." + room.name)
        assert "kazoo.client" not in sys.modules
    """,
    "called by what kazoo's import runs, it says so and applies with the next call": """
        import importlib.machinery
        import kazoo_gevent_patch
        exec_module = importlib.machinery.SourceFileLoader.exec_module
        def from_inside(loader, module):
            if module.__name__ == "kazoo.client":
                now = kazoo_gevent_patch.patch_all()
                assert "being imported" in str(now), str(now)
            exec_module(loader, module)
        importlib.machinery.SourceFileLoader.exec_module = from_inside
        import kazoo.client
        now = kazoo_gevent_patch.patch_all()
        assert len(now.applied) == len(PATCHES) and not now.left_alone, str(now)
    """,
}


@pytest.mark.parametrize("behaviour", PROGRAMS)
def test_in_a_process_of_its_own(behaviour: str) -> None:
    """What the parameter says holds in a fresh interpreter."""
    program = "import sys\nfrom kazoo_gevent_patch.patching.table import PATCHES\n" + "\n".join(
        line.removeprefix(" " * 8) for line in PROGRAMS[behaviour].splitlines()
    )
    result = run_python(program.format(no_kazoo=NO_KAZOO))
    assert "Traceback" not in result.stderr
