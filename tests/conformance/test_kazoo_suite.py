"""kazoo's own tests come out the same under the shim as without it."""

from collections.abc import Callable

import pytest

from kazoo_gevent_patch import SequentialGeventHandler
from tests.conformance.suite import RUN_TIMEOUT, Result, run_suites

pytestmark = [
    pytest.mark.conformance,
    # The fixture's runs count for the first test.
    pytest.mark.timeout(RUN_TIMEOUT + 120),
]

OUR_HANDLER = f"{SequentialGeventHandler.__module__}.{SequentialGeventHandler.__qualname__}"

shim_modes = pytest.mark.parametrize(
    "mode", ["patch-first", "kazoo-first", pytest.param("late-monkey", marks=pytest.mark.slow)]
)


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


def expect_nothing(complaint: str) -> None:
    """Fail with the whole complaint: an assertion would cut it short."""
    if complaint:
        pytest.fail(complaint, pytrace=False)


def test_kazoo_passes_alone(results: dict[str, Result]) -> None:
    expect_nothing(results["vanilla"].problem or results["vanilla"].broken())


@shim_modes
def test_no_test_fails(results: dict[str, Result], mode: str) -> None:
    expect_nothing(results[mode].problem or results[mode].broken())


@shim_modes
def test_every_test_ends_as_in_kazoo_alone(results: dict[str, Result], mode: str) -> None:
    expect_nothing(results[mode].differences(results["vanilla"]))


@shim_modes
def test_every_client_ran_on_the_shim(results: dict[str, Result], mode: str) -> None:
    assert list(results[mode].default_handlers) == [OUR_HANDLER]
    assert results[mode].default_handlers[OUR_HANDLER] > 100


@pytest.mark.slow
def test_tls_sasl_and_read_only_without_monkey_patching(
    announce: Callable[[str], None], own_servers: None
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
    result = run_suites(["no-monkey"], announce)["no-monkey"]
    expect_nothing(result.problem or result.broken())
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
