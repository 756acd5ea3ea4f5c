"""How findings are shown: line by line, or as one JSON document."""

from __future__ import annotations

import json
import os
import sys
from contextlib import nullcontext
from dataclasses import asdict
from typing import Final

from kazoo_gevent_patch.commands.doctor.findings import Finding, Level

_COLOURS: Final = {Level.ok: 32, Level.warning: 33, Level.problem: 31}
_ERASE_LINE: Final = "\r\033[K"
_INDENT: Final = " " * 9
_CHECK_WIDTH: Final = 16


class Lines:
    """Prints each finding when it is known; on a terminal, also what is being checked."""

    def __init__(self) -> None:
        self._in_place = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._coloured = self._in_place and not os.environ.get("NO_COLOR")

    def __enter__(self) -> None:
        """Do nothing yet."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave no half a line behind when Ctrl-C ends the checks."""
        if kind is KeyboardInterrupt and self._in_place:
            self._write(f"{_ERASE_LINE}interrupted\n")

    def begin(self, check: str) -> None:
        """Say what is checked now; it goes when the finding comes."""
        if self._in_place:
            self._write(f"{_INDENT}{check} ...")

    def add(self, finding: Finding) -> None:
        """Print a finding, and what to do about it on a line of its own."""
        level = f"{finding.level.name:<{len(_INDENT)}}"
        if self._coloured:
            level = f"\033[{_COLOURS[finding.level]}m{level}\033[0m"
        erase = _ERASE_LINE if self._in_place else ""
        self._write(f"{erase}{level}{finding.check:<{_CHECK_WIDTH}}  {finding.text}\n")
        if finding.advice:
            self._write(f"{_INDENT}{'':{_CHECK_WIDTH}}  -> {finding.advice}\n")

    def end(self, findings: list[Finding]) -> None:
        """Print how many findings there are of each level."""
        count = {level: sum(f.level is level for f in findings) for level in Level}
        self._write(
            f"\n{count[Level.ok]} ok, {_plural(count[Level.warning], 'warning')}, "
            f"{_plural(count[Level.problem], 'problem')}\n"
        )

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()


class Document(nullcontext[None]):
    """Prints all findings at the end, as JSON; nothing if there is no end."""

    def begin(self, check: str) -> None:
        """Do nothing: a program reads this."""

    def add(self, finding: Finding) -> None:
        """Do nothing: the document is printed whole."""

    def end(self, findings: list[Finding]) -> None:
        """Print the document."""
        worst = max(finding.level for finding in findings)
        lines = [{**asdict(finding), "level": finding.level.name} for finding in findings]
        print(
            json.dumps({"result": worst.name, "exit_code": int(worst), "findings": lines}, indent=2)
        )


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
