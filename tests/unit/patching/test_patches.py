"""The patch table: every row applies, is reported, and is undone by identity."""

from __future__ import annotations

import importlib
import logging
import re
import sys
from collections.abc import Iterator
from importlib import metadata
from math import inf, nan
from typing import Any

import kazoo.client  # noqa: F401 - its import triggers every row
import pytest
import wrapt

from kazoo_gevent_patch import is_patched, patch_all, patched, status, unpatch_all
from kazoo_gevent_patch.errors import UnsupportedKazooError
from kazoo_gevent_patch.patching.registry import Registry
from kazoo_gevent_patch.patching.table import PATCHES, Patch
from kazoo_gevent_patch.settings.environment import KEEP_SESSIONS
from kazoo_gevent_patch.settings.options import ForkChoice, KeepChoice, Options

every_row = pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.name)


def resolve(patch: Patch) -> tuple[Any, str, object]:
    """Return the owner, the name and the raw value of a row's attribute."""
    owner, attribute, value = wrapt.resolve_path(
        importlib.import_module(patch.module), patch.target
    )
    return owner, attribute, value


def kazoo_attributes() -> dict[tuple[str, ...], object]:
    """Return every attribute of every loaded kazoo module, and of the classes in them."""
    attributes: dict[tuple[str, ...], object] = {}
    modules = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] == "kazoo" and not name.startswith("kazoo.tests")
    }
    for name, module in modules.items():
        for key, value in vars(module).items():
            attributes[name, key] = value
            if isinstance(value, type) and value.__module__ == name:
                for member, raw in vars(value).items():
                    attributes[name, key, member] = raw
                    for slot in ("__code__", "__defaults__", "__kwdefaults__"):
                        attributes[name, key, member, slot] = getattr(raw, slot, None)
    return attributes


@pytest.fixture
def own_registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Give a registry for the rows that the test is parametrised with."""
    registry = Registry(request.param)
    yield registry
    registry.withdraw_all()


@every_row
def test_a_row_applies_is_reported_and_is_undone_by_identity(patch: Patch) -> None:
    """Each row on its own: changed and reported on, the same object again and reported off."""
    _, _, original = resolve(patch)
    registry = Registry([patch])
    assert registry.request("test", Options())
    assert resolve(patch)[2] is not original
    assert list(registry.in_effect()) == [patch]
    registry.withdraw_all()
    assert resolve(patch)[2] is original
    assert list(registry.in_effect()) == []


@every_row
def test_the_status_reports_a_row(patch: Patch) -> None:
    """status() names each row where it is."""
    assert patch.name not in status().applied
    assert patch.name in patch_all().applied
    assert patch.name in str(status(verbose=True))
    assert patch.name not in str(status())
    unpatch_all()
    assert patch.name not in status().applied
    assert patch.name not in str(status(verbose=True))


def test_undo_gives_back_every_attribute_of_kazoo() -> None:
    """Attribute by attribute, in every loaded module of kazoo, the identical object is back."""
    before = kazoo_attributes()
    for _ in range(3):
        patch_all()
        patch_all()
        changed = kazoo_attributes()
        unpatch_all()
        after = kazoo_attributes()
        assert after.keys() == before.keys()
        assert [key for key in before if after[key] is not before[key]] == []
        assert sum(changed[key] is not before[key] for key in before) >= len(PATCHES)


def test_an_inherited_attribute_is_not_left_behind() -> None:
    """Undoing a change of an attribute that the class inherits deletes it again."""
    row = Patch("kazoo.recipe.lock", "ReadLock.acquire", "wrap", "client:start_async", "test")
    registry = Registry([row])
    registry.request("test", Options())
    from kazoo.recipe.lock import ReadLock

    assert "acquire" in vars(ReadLock)
    registry.withdraw_all()
    assert "acquire" not in vars(ReadLock)


def test_undo_leaves_and_names_what_somebody_else_has_wrapped_since(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Our wrapper stays under the other's, does nothing, and serves again when patched again."""
    from kazoo.client import KazooClient
    from kazoo.handlers.threading import SequentialThreadingHandler

    from kazoo_gevent_patch import SequentialGeventHandler

    original = vars(KazooClient)["__init__"]
    patch_all()
    others = wrapt.FunctionWrapper(
        vars(KazooClient)["__init__"], lambda wrapped, _, args, kwargs: wrapped(*args, **kwargs)
    )
    KazooClient.__init__ = others
    try:
        with caplog.at_level(logging.WARNING, logger="kazoo_gevent_patch"):
            unpatch_all()
        assert "kazoo.client.KazooClient.__init__ is not put back" in caplog.text
        assert "kazoo.client.KazooClient.__init__" in status().left_alone
        assert vars(KazooClient)["__init__"] is others
        assert type(KazooClient().handler) is SequentialThreadingHandler

        assert status().left_alone.keys() & patch_all().left_alone.keys() == set()
        assert vars(KazooClient)["__init__"] is others
        assert type(KazooClient().handler) is SequentialGeventHandler
        unpatch_all()
        assert type(KazooClient().handler) is SequentialThreadingHandler
    finally:
        KazooClient.__init__ = original


@pytest.mark.parametrize(
    "own_registry",
    [
        (PATCHES[0], Patch("kazoo.client", "KazooClient.no_such", "wrap", "client:init", "test")),
        (PATCHES[2], Patch("kazoo.retry", "NoSuchClass.method", "wrap", "client:init", "test")),
    ],
    indirect=True,
)
def test_nothing_is_half_patched_when_a_row_does_not_fit(own_registry: Registry) -> None:
    """A kazoo without one of the attributes is refused by name, and all is as it was."""
    before = kazoo_attributes()
    with pytest.raises(UnsupportedKazooError, match=r"no_such|NoSuchClass"):
        own_registry.request("test", Options())
    assert not own_registry.wanted
    assert not own_registry.applied
    after = kazoo_attributes()
    assert [key for key in before if after[key] is not before[key]] == []


@pytest.mark.parametrize(
    "options",
    [
        {"fork": "never"},
        {"fork": None},
        {"replace_explicit": "yes"},
        {"replace_explicit": 1},
        {"replace_explicit": None},
        *({"keep_sessions": value} for value in ("yes", None, 0, 0.0, -1, inf, nan)),
    ],
    ids=str,
)
def test_a_wrong_option_is_refused_by_name_and_changes_nothing(options: dict[str, Any]) -> None:
    """The message names the option, the value and the allowed values."""
    (name, value), *_ = options.items()
    allowed = {
        "replace_explicit": "True and False",
        "fork": "'reconnect', 'stop', 'ignore'",
        "keep_sessions": "True, False and seconds above zero",
    }[name]
    with pytest.raises(ValueError, match=f"{name}={value!r}: allowed are {allowed}"):
        patch_all(**options)
    assert not is_patched()
    with pytest.raises(ValueError, match=name), patched(**options):
        pytest.fail("the block was entered")


@pytest.mark.parametrize("option", ["replace_explicit", "fork", "keep_sessions"])
def test_a_long_wrong_option_is_not_quoted_whole(option: str) -> None:
    """The message is for people."""
    options: dict[str, Any] = {option: "x" * 100_000}
    with pytest.raises(ValueError, match=f"{option}='xxx") as caught:
        patch_all(**options)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("fork", ["reconnect", "stop", "ignore"])
@pytest.mark.parametrize("replace_explicit", [True, False])
def test_the_status_has_the_options(fork: ForkChoice, replace_explicit: bool) -> None:
    """What was asked for is what status() says is in force."""
    options = patch_all(fork=fork, replace_explicit=replace_explicit).options
    assert (options.fork, options.replace_explicit) == (fork, replace_explicit)


@pytest.mark.parametrize(
    ("option", "variable", "chosen"),
    [
        (True, "", True),
        (False, "", False),
        (2.5, "", 2.5),
        (True, "0", False),
        (False, "1", True),
        (2.5, "1", True),
        (True, "1.0", 1.0),
        (2.5, "30", 30.0),
        (2.5, "long", 2.5),
        (2.5, "-1", 2.5),
    ],
)
def test_sessions_are_kept_as_the_option_says_or_the_environment_before_it(
    option: KeepChoice, variable: str, chosen: KeepChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that is not understood is no choice."""
    monkeypatch.setenv(KEEP_SESSIONS.variable, variable)
    now = patch_all(keep_sessions=option)
    assert repr(now.options.keep_sessions) == repr(option)
    assert repr(now.keep_sessions) == repr(chosen)
    expected = {True: "kept as long as the process lives", False: "not kept"}
    is_seconds = isinstance(chosen, float)
    text = f"kept for {chosen:g} s at most" if is_seconds else expected[bool(chosen)]
    assert f"  sessions    {text} while the event loop stands still" in str(now)


def test_one_second_is_not_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    """True is equal to 1, and another choice."""
    patch_all()
    assert patch_all(keep_sessions=1).keep_sessions is not True
    assert "keep_sessions from True to 1" in caplog.text


def test_a_repeat_does_nothing_and_other_options_warn_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Only a change of options is worth a warning, which names the change."""
    with caplog.at_level(logging.DEBUG, logger="kazoo_gevent_patch"):
        patch_all()
        first = kazoo_attributes()
        patch_all()
        assert caplog.records == []
        assert [key for key, value in kazoo_attributes().items() if value is not first[key]] == []
        assert patch_all(fork="stop", replace_explicit=True).options.fork == "stop"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "replace_explicit from False to True" in record.getMessage()
    assert "fork from 'reconnect' to 'stop'" in record.getMessage()


def test_is_patched_from_patch_all_to_unpatch_all() -> None:
    """True in between, false before and after."""
    assert is_patched() is False
    patch_all()
    assert is_patched() is True
    unpatch_all()
    assert is_patched() is False
    unpatch_all()
    assert is_patched() is False


def test_a_patched_block_ends_as_it_began(caplog: pytest.LogCaptureFixture) -> None:
    """Out of the block, kazoo is as it was: unpatched, or patched with the options before."""
    with patched(fork="stop") as now:
        assert now.patched
        assert now.options.fork == "stop"
    assert not is_patched()
    patch_all(fork="ignore")
    with pytest.raises(KeyError), patched(fork="stop"):
        raise KeyError
    assert is_patched()
    assert status().options.fork == "ignore"
    assert caplog.text.count("was called again") == 1


def test_the_status_knows_versions_and_clients_and_reads_well() -> None:
    """Versions of all four, the clients by handler, one thing a line."""
    import platform

    import gevent
    from kazoo.client import KazooClient
    from kazoo.handlers.threading import SequentialThreadingHandler
    from kazoo.version import __version__ as kazoo_version

    patch_all()
    alive = [KazooClient(), KazooClient(), KazooClient(handler=SequentialThreadingHandler())]
    now = status()
    assert now.versions["Python"] == platform.python_version()
    assert now.versions["gevent"] == gevent.__version__
    assert now.versions["kazoo"] == kazoo_version
    assert now.versions["wrapt"] == metadata.version("wrapt")
    assert now.monkey_patched["socket"] is False
    ours = "kazoo_gevent_patch.handler.sequential.SequentialGeventHandler"
    theirs = "kazoo.handlers.threading.SequentialThreadingHandler"
    assert now.handlers[ours] >= 2
    assert now.handlers[theirs] >= 1
    options = "replace_explicit=False, fork=reconnect, keep_sessions=True"
    assert re.match(r"kazoo_gevent_patch is on since [\d-]+ [\d:]+\n", str(now))
    assert f"\n  options     {options}\n" in str(now)
    assert "kept as long as the process lives while the event loop stands still" in str(now)
    assert f"{now.handlers[ours]} on {ours}" in str(now)
    assert len(alive) == 3


def test_the_registry_of_clients_keeps_none_alive() -> None:
    """A dropped client is gone from status()."""
    import gc

    from kazoo.client import KazooClient

    patch_all()
    gc.collect()
    before = sum(status().handlers.values())
    client = KazooClient()
    assert sum(status().handlers.values()) == before + 1
    del client
    gc.collect()
    assert sum(status().handlers.values()) == before
