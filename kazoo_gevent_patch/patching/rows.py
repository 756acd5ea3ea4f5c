"""How the two tables of this wing are written: texts, which a newcomer reads from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby


def rows(table: str) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a table: ``owner how what``, and why.

    The indented lines give the reason for all the rows directly above them. ``what`` may be several
    words.
    """
    lines = table.strip().splitlines()
    parts = [list(part) for _, part in groupby(lines, key=lambda line: line.startswith(" "))]
    for entries, reason in zip(parts[::2], parts[1::2], strict=True):
        why = " ".join(map(str.strip, reason))
        for entry in entries:
            owner, how, what = entry.split(maxsplit=2)
            yield owner, how, " ".join(what.split()), why
