"""How the tables of the patching are read."""

from __future__ import annotations

import pytest

from kazoo_gevent_patch.patching.rows import rows

TABLE = """
module:owner has one \
  two
    Why the first row
    is there.
module:owner has three
module:other uses four
    Why the last two are.
"""


def test_rows_that_follow_one_another_have_the_reason_below_them() -> None:
    """Long rows and long reasons go on in the next line."""
    assert list(rows(TABLE)) == [
        ("module:owner", "has", "one two", "Why the first row is there."),
        ("module:owner", "has", "three", "Why the last two are."),
        ("module:other", "uses", "four", "Why the last two are."),
    ]


@pytest.mark.parametrize("row", ["module:owner has five", "module:owner has\n    No names."])
def test_a_row_without_a_reason_or_without_names_is_no_row(row: str) -> None:
    """It is not passed over: the package could not be imported."""
    with pytest.raises(ValueError, match=r"zip|unpack"):
        list(rows(f"{TABLE}{row}\n"))
