"""kazoo's own tests come out the same under the shim as without it."""

from collections.abc import Callable

import pytest

from kazoo_gevent_patch import SequentialGeventHandler
from tests.conformance.suite import LIMIT, Result, run_suites

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.slow,
    # The fixture's runs count for the first test.
    pytest.mark.timeout(LIMIT),
]

OUR_HANDLER = f"{SequentialGeventHandler.__module__}.{SequentialGeventHandler.__qualname__}"

shim_modes = pytest.mark.parametrize("mode", ["patch-first", "kazoo-first", "late-monkey"])


@pytest.fixture(scope="module")
def announce(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Give a function that prints a line at once."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")

    def announce(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

    return announce


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, announce: Callable[[str], None], own_servers: None
) -> dict[str, Result]:
    """Results by mode: of kazoo alone, and of the modes that the chosen tests are about."""
    modes: set[str] = {
        str(item.callspec.params["mode"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "mode" in item.fixturenames
    }
    return run_suites(["vanilla", *sorted(modes)], announce)


def expect_nothing(mode: str, complaint: str, alone: Result | None = None) -> None:
    """Fail with the whole complaint, which an assertion would cut short, what matters first."""
    if not complaint:
        return
    if alone is not None and alone.broken():
        complaint = f"{complaint}\nkazoo alone failed as well: {alone.broken()}"
        mode = f"kazoo alone failed as well, so that this tells little; {mode}"
    pytest.fail(f"{mode}: {complaint}", pytrace=False)


def test_kazoo_passes_alone(results: dict[str, Result]) -> None:
    expect_nothing("kazoo alone, without this package", results["vanilla"].broken())


@shim_modes
def test_no_test_fails(results: dict[str, Result], mode: str) -> None:
    expect_nothing(mode, results[mode].broken(), results["vanilla"])


@shim_modes
def test_every_test_ends_as_in_kazoo_alone(results: dict[str, Result], mode: str) -> None:
    expect_nothing(mode, results[mode].differences(results["vanilla"]), results["vanilla"])


@shim_modes
def test_every_client_ran_on_the_shim(results: dict[str, Result], mode: str) -> None:
    expect_nothing(mode, results[mode].problem)
    assert list(results[mode].default_handlers) == [OUR_HANDLER]
    assert results[mode].default_handlers[OUR_HANDLER] > 100


@pytest.mark.parametrize("mode", ["no-monkey"])
def test_tls_sasl_and_read_only_without_monkey_patching(
    results: dict[str, Result], mode: str
) -> None:
    """kazoo's tests of TLS, SASL and read-only sessions pass in a process not monkey patched.

    As far as they allow it. They sleep and join threads in the thread of the event loop, so
    no client is served meanwhile: TestReadOnlyMode sleeps 15 seconds, the whole session
    time-out, at its beginning (the session of its set-up may expire, which it does not
    mind), while it stops two servers, and at its end, where it says that it waits for a ping:
    here none is sent. Its listener sets a threading.Event, which must be set before the
    test waits for it; it is, because start() returns after the listener was called. The
    tests with Kerberos (TestSASLGSSAPIAuthentication) want a realm, and are skipped as in
    kazoo alone.
    """
    result = results[mode]
    expect_nothing(mode, result.broken(), results["vanilla"])
    assert list(result.default_handlers) == [OUR_HANDLER]
    kinds = {test: outcome.kind for test, outcome in result.outcomes.items()}
    passed = {
        class_name.rpartition(".")[2] for (class_name, _), kind in kinds.items() if kind == "passed"
    }
    assert passed == {
        "TestSSLClient",
        "TestLegacySASLDigestAuthentication",
        "TestSASLDigestAuthentication",
        "TestReadOnlyMode",
    }
