"""Colours, where standard output is a terminal that wants them."""

from __future__ import annotations

import os
import sys


def bold(text: str) -> str:
    return _styled(text, 1)


def red(text: str) -> str:
    return _styled(text, 31)


def green(text: str) -> str:
    return _styled(text, 32)


def _styled(text: str, code: int) -> str:
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return f"\x1b[{code}m{text}\x1b[0m"
