"""The tested versions. At least one cell tests any two versions of two things together."""

from __future__ import annotations

from itertools import combinations
from typing import Final, NamedTuple


class Cell(NamedTuple):
    """One combination of versions that the suite runs on."""

    python: str
    kazoo: str
    gevent: str
    wrapt: str
    gunicorn: str

    @property
    def name(self) -> str:
        """Return a name for commands and files."""
        return "-".join(f"{what}{version}" for what, version in self._asdict().items())

    @property
    def pins(self) -> list[str]:
        """Return the requirements that install this combination."""
        return [
            f"{name}=={version}" for name, version in self._asdict().items() if name != "python"
        ]

    @property
    def pairs(self) -> set[frozenset[tuple[str, str]]]:
        """Return each pair of the cell's versions."""
        return set(map(frozenset, combinations(self._asdict().items(), 2)))


LEVELS: Final = Cell._make(
    [
        ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15"),
        ("2.8.0", "2.9.0", "2.10.0", "2.11.0"),
        ("23.9.1", "24.11.1", "25.9.1", "26.9.0"),
        ("1.16.0", "1.17.3", "2.5.2"),
        ("21.2.0", "23.0.0", "27.0.1"),
    ]
)._asdict()
"""The versions of each thing, oldest first."""

_WHEEL_FOR_3_14: Final = "the first gevent with a wheel for CPython 3.14 is 25.8.1"
_WHEEL_FOR_3_15: Final = "the first gevent with a wheel for CPython 3.15 is 26.5.0"

IMPOSSIBLE: Final = {
    frozenset({("python", "3.13"), ("gevent", "23.9.1")}): (
        "the first gevent with a wheel for CPython 3.13 is 24.10.1"
    ),
    frozenset({("python", "3.14"), ("gevent", "23.9.1")}): _WHEEL_FOR_3_14,
    frozenset({("python", "3.14"), ("gevent", "24.11.1")}): _WHEEL_FOR_3_14,
    frozenset({("python", "3.15"), ("gevent", "23.9.1")}): _WHEEL_FOR_3_15,
    frozenset({("python", "3.15"), ("gevent", "24.11.1")}): _WHEEL_FOR_3_15,
    frozenset({("python", "3.15"), ("gevent", "25.9.1")}): _WHEEL_FOR_3_15,
    frozenset({("gevent", "23.9.1"), ("gunicorn", "27.0.1")}): (
        "gunicorn's gevent worker asks for gevent 24.10.1 or newer"
    ),
}
"""The pairs that cannot meet, and why."""

CELLS: Final = tuple(
    Cell(*line.split())
    for line in """
    3.10 2.8.0  23.9.1  1.16.0 21.2.0
    3.10 2.9.0  25.9.1  1.17.3 27.0.1
    3.10 2.10.0 24.11.1 2.5.2  23.0.0
    3.10 2.11.0 23.9.1  1.17.3 23.0.0
    3.10 2.11.0 26.9.0  2.5.2  21.2.0
    3.11 2.8.0  25.9.1  2.5.2  27.0.1
    3.11 2.9.0  26.9.0  1.17.3 23.0.0
    3.11 2.10.0 23.9.1  1.16.0 21.2.0
    3.11 2.11.0 24.11.1 1.17.3 21.2.0
    3.12 2.8.0  24.11.1 1.17.3 27.0.1
    3.12 2.9.0  23.9.1  2.5.2  21.2.0
    3.12 2.10.0 26.9.0  2.5.2  27.0.1
    3.12 2.11.0 25.9.1  1.16.0 23.0.0
    3.13 2.8.0  26.9.0  1.16.0 23.0.0
    3.13 2.9.0  24.11.1 1.16.0 27.0.1
    3.13 2.10.0 25.9.1  1.17.3 21.2.0
    3.13 2.11.0 26.9.0  2.5.2  27.0.1
    3.14 2.8.0  25.9.1  1.16.0 21.2.0
    3.14 2.9.0  26.9.0  1.17.3 23.0.0
    3.14 2.10.0 25.9.1  2.5.2  27.0.1
    3.14 2.11.0 26.9.0  2.5.2  27.0.1
    3.15 2.8.0  26.9.0  1.16.0 21.2.0
    3.15 2.9.0  26.9.0  1.17.3 23.0.0
    3.15 2.10.0 26.9.0  1.16.0 27.0.1
    3.15 2.11.0 26.9.0  2.5.2  27.0.1
    """.strip().splitlines()
)

CORNERS: Final = (CELLS[0], CELLS[-1])
"""The oldest of everything and the newest; continuous integration runs these."""
