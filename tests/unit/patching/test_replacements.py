"""What takes the place of a kazoo function can be handled as the original can."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import kazoo.client  # noqa: F401 - its import triggers every row
import pytest
import wrapt
from kazoo.client import KazooClient

from kazoo_gevent_patch import SequentialGeventHandler, patch_all, patched, unpatch_all
from kazoo_gevent_patch.patching.around import around
from kazoo_gevent_patch.patching.table import PATCHES, Patch

each_wrapped = pytest.mark.parametrize(
    "patch", [patch for patch in PATCHES if patch.how == "wrap"], ids=lambda patch: patch.name
)


class Copied(KazooClient):  # type: ignore[misc]
    """A client that can be copied and pickled, so that its bound methods can."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Copied, ()


@pytest.fixture(autouse=True)
def _patched() -> Iterator[None]:
    patch_all()
    yield
    unpatch_all()


def resolve(patch: Patch) -> tuple[Any, str, Any]:
    owner, attribute, value = wrapt.resolve_path(
        importlib.import_module(patch.module), patch.target
    )
    return owner, attribute, value


@each_wrapped
def test_a_function_copies_pickles_and_shows_as_the_original(patch: Patch) -> None:
    """By its name, as functions do; signature and source are the original's."""
    _, attribute, replaced = resolve(patch)
    functions = [replaced, partial(replaced, 1)]
    for function in functions:
        for again in (copy.copy(function), pickle.loads(pickle.dumps(function))):
            assert getattr(again, "func", again) is replaced
        assert getattr(copy.deepcopy(function), "func", function) is replaced
    told = (repr(replaced), inspect.signature(replaced), inspect.getsource(replaced))
    spec, doc = inspect.getfullargspec(replaced), replaced.__doc__
    unpatch_all()
    _, _, original = resolve(patch)
    assert replaced is not original
    assert told[0].split(" at ")[0] == repr(original).split(" at ")[0]
    assert told[1:] == (inspect.signature(original), inspect.getsource(original))
    assert (spec, doc) == (inspect.getfullargspec(original), original.__doc__)
    assert inspect.isfunction(replaced)
    assert attribute in told[0]


@pytest.mark.parametrize("name", ["stop", "start", "close", "restart", "start_async"])
def test_a_bound_method_copies_pickles_and_compares_as_the_original(name: str) -> None:
    """Equal and of one hash each time that it is asked for; copies are of a copied client."""
    client = Copied()
    method = getattr(client, name)
    assert method == getattr(client, name)
    assert hash(method) == hash(getattr(client, name))
    assert method != getattr(client, "get")  # noqa: B009
    for again in (copy.copy(method), copy.deepcopy(method), pickle.loads(pickle.dumps(method))):
        assert again.__func__ is method.__func__
        assert type(again.__self__) is Copied
    assert copy.copy(partial(method)).func == method
    assert pickle.loads(pickle.dumps(partial(method, 1))).func.__func__ is method.__func__
    assert inspect.ismethod(method)


@each_wrapped
def test_a_wrapped_method_may_be_taken_apart(patch: Patch) -> None:
    """As weakref.WeakMethod does it; what is put together again is the wrapped one."""
    owner, attribute, replaced = resolve(patch)
    instance = object.__new__(owner)
    method = getattr(instance, attribute)
    again = weakref.WeakMethod(method)()
    assert again == method
    assert again.__func__ is replaced
    assert again.__self__ is instance


def test_a_call_without_an_instance_is_refused_as_by_the_original() -> None:
    """To the letter."""
    with pytest.raises(TypeError) as with_us:
        KazooClient.stop()
    unpatch_all()
    with pytest.raises(TypeError) as without_us:
        KazooClient.stop()
    assert str(with_us.value) == str(without_us.value)


class Descriptor:
    """Something of somebody else's that binds in its own way, and tells no signature."""

    __name__ = "method"

    def __get__(self, instance: Any, owner: type) -> Any:
        return lambda *args: ("bound", instance, *args)


def test_what_is_no_function_is_called_as_python_would() -> None:
    """A descriptor is bound; a callable that is none is called without the instance."""
    thing = object()

    def replace(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        return ("around", *wrapped(*args, **kwargs))

    assert around(Descriptor(), replace, lambda: True)(thing, 1) == ("around", "bound", thing, 1)
    assert around(max, replace, lambda: False)(thing, 1, 2) == 2


def counting(original: Any, calls: list[Any]) -> Any:
    """Return a wrapper of a constructor as tests and instrumentation make them, without wraps."""

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(args)
        original(self, *args, **kwargs)

    return init


@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), (("127.0.0.1:9", 5.0), {}), (("127.0.0.1:9", 5.0, None, None), {"handler": ...})],
)
def test_a_plain_wrapper_of_the_constructor_is_no_obstacle(
    first: str, args: Any, kwargs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over ours or under it: the client is on our handler, and the wrapper is called once."""
    calls: list[Any] = []
    if first == "theirs":
        unpatch_all()
    monkeypatch.setattr(KazooClient, "__init__", counting(KazooClient.__init__, calls))
    if first == "theirs":
        patch_all()
    handler = SequentialGeventHandler()
    if kwargs:
        args, kwargs = (*args[:3], handler), {}
    client = KazooClient(*args, **kwargs)
    assert type(client.handler) is SequentialGeventHandler
    assert (client.handler is handler) == (len(args) > 3)
    assert len(calls) == 1
    unpatch_all()


def test_a_constructor_with_parameters_of_its_own_is_called_as_it_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it does not take is not passed; such a client moves over when it starts."""
    unpatch_all()
    original = KazooClient.__init__
    monkeypatch.setattr(
        KazooClient, "__init__", lambda self, name: original(self, f"{name}:9", timeout=3.0)
    )
    with patched():
        client = KazooClient("127.0.0.1")
        assert client._session_timeout == 3000
        client.start_async()
        assert type(client.handler) is SequentialGeventHandler
        client.stop()
        client.close()


def test_a_constructor_with_parameters_in_front_of_kazoos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of its own are not taken for kazoo's."""
    unpatch_all()
    original = KazooClient.__init__

    def named(self: Any, name: str, a: int, b: int, c: None, *args: Any, **kwargs: Any) -> None:
        self.name = (name, a, b, c)
        original(self, *args, **kwargs)

    monkeypatch.setattr(KazooClient, "__init__", named)
    with patched():
        client = KazooClient("name", 1, 2, None, "127.0.0.1:9")
        assert client.name == ("name", 1, 2, None)
        assert type(client.handler) is SequentialGeventHandler
