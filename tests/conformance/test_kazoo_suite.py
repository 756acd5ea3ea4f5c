"""kazoo's own tests come out the same under the shim as without it."""

import pytest

from kazoo_gevent_patch import SequentialGeventHandler
from tests.conformance.suite import RUN_TIMEOUT, Result, run_suites

pytestmark = [
    pytest.mark.conformance,
    # The fixture's runs count for the first test.
    pytest.mark.timeout(RUN_TIMEOUT + 120),
]

shim_modes = pytest.mark.parametrize(
    "mode", ["patch-first", "kazoo-first", pytest.param("late-monkey", marks=pytest.mark.slow)]
)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, own_servers: None) -> dict[str, Result]:
    """Results by mode: of kazoo alone, and of the modes that the chosen tests are about."""
    modes: set[str] = {
        str(item.callspec.params["mode"])
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "mode" in item.fixturenames
    }
    capture = request.config.pluginmanager.getplugin("capturemanager")
    reporter = request.config.pluginmanager.getplugin("terminalreporter")

    def announce(line: str) -> None:
        with capture.global_and_fixture_disabled():
            reporter.ensure_newline()
            reporter.write_line(line)

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
    handler = f"{SequentialGeventHandler.__module__}.{SequentialGeventHandler.__qualname__}"
    assert list(results[mode].default_handlers) == [handler]
    assert results[mode].default_handlers[handler] > 100
