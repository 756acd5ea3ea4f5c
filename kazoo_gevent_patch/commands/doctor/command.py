"""The command itself: every check in turn, and the exit code."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Generator
from contextlib import closing

from kazoo_gevent_patch.commands.doctor import process
from kazoo_gevent_patch.commands.doctor.arguments import Target, target_of
from kazoo_gevent_patch.commands.doctor.findings import Finding, Level
from kazoo_gevent_patch.commands.doctor.report import Document, Lines

_Begin = Callable[[str], None]


def examine(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Make all checks, print what they find, and return the exit code.

    Patches the standard library and kazoo in this process, as ``run`` does.

    :raises SystemExit: the options contradict each other.
    """
    target = target_of(options, parser)
    report = Document() if options.json else Lines()
    findings: list[Finding] = []

    # Closed at once when Ctrl-C or a closed pipe cuts it off: the server is left clean.
    with closing(_checks(options, target, report.begin)) as checks, report:
        for finding in checks:
            findings.append(finding)
            report.add(finding)
    report.end(findings)
    return max(finding.level for finding in findings)


def _checks(
    options: argparse.Namespace, target: Target | None, begin: _Begin
) -> Generator[Finding, None, None]:
    yield from process.examine(begin)
    if target is not None:
        # Not before: this imports kazoo, and with it what gevent must patch first.
        from kazoo_gevent_patch.commands.doctor import server

        yield from server.examine(target, begin)
    elif options.hosts is not None:
        values: dict[str, object] = {"hosts": options.hosts}
        advice = "first do what is said above"
        yield Finding(Level.warning, "not checked", "the servers", advice, values)
