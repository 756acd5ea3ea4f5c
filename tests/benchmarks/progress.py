"""Tells on stderr how far a run is: in place on a terminal, else in whole lines."""

from __future__ import annotations

import sys
import time
from typing import Final

_ERASE_LINE: Final = "\r\033[K"


class Progress:
    """How far a run of so many measurements is."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._step = 0
        self._start = time.monotonic()
        self._in_place = sys.stderr.isatty()

    def begin(self, what: str) -> None:
        """Show what is measured now; only on a terminal."""
        self._step += 1
        if self._in_place:
            self._write(f"{_ERASE_LINE}{self._position()}  {what} ...")

    def skip(self, steps: int) -> None:
        """Say that so many measurements will not be made."""
        self._step += steps

    def line(self, text: str) -> None:
        """Show something that stays."""
        self._write(f"{_ERASE_LINE if self._in_place else ''}{self._position()}  {text}\n")

    def _position(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._start), 60)
        width = len(str(self._steps))
        return f"[{self._step:{width}}/{self._steps} {minutes}:{seconds:02}]"

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
