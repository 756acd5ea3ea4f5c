"""The package's texts and the documents avoid wordings that readers stumble over."""

from __future__ import annotations

import re
import tokenize
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parent.parent.parent
SOURCES: Final = sorted(
    path for folder in ("kazoo_gevent_patch", "examples") for path in (ROOT / folder).rglob("*.py")
)
DOCUMENTS: Final = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "examples").glob("*/README.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]

PEOPLE: Final = ("users", "people", "readers", "developers", "administrators")
"""Words after which "who" is right; callers, greenlets and threads are things."""

_PERSON: Final = "".join(rf"(?<!\b{person} )" for person in PEOPLE)


class Wording(NamedTuple):
    """A wording that is hard to read, and what to write instead."""

    pattern: str
    hard: str
    plain: str


WORDINGS: Final = (
    Wording(
        rf"{_PERSON}\bwho(m|ever)?\b",
        "who sets stores first, whoever waits looks for it",
        "the caller that sets the result stores it first; the greenlet that waits looks for it",
    ),
    Wording(
        r"\b(he|him|his|himself)\b",
        "Let everybody end his turn",
        "Let each worker end its turn",
    ),
    Wording(
        r"\b(store|look|register|ask)s?\b( [\w'-]+){0,5} second\b",
        "it stores the byte first and looks for a waiting greenlet second",
        "it stores the byte first, and then looks for a waiting greenlet",
    ),
    Wording(
        r"\bwhat( \w+){1,4} is what\b",
        "what it makes is what the server gives",
        "the server is the limit",
    ),
    Wording(
        r"\bprimitives for nothing\b",
        "kazoo's own code, primitives for nothing",
        "kazoo's own code on free primitives",
    ),
    Wording(
        r"\bwithout a line\b",
        "gevent does it when it patches the standard library, without a line",
        "gevent switches the patch on; the program needs no line for it",
    ),
    Wording(
        r"\bevery two\b",
        "Every two versions of two columns meet in at least one line",
        "At least one line tests any two versions of two columns together",
    ),
    Wording(
        r"\bthreads a client\b",
        "its handler costs three native threads a client",
        "its handler starts three native threads for each client",
    ),
    Wording(
        r"\b(is|are) of the same run\b",
        "its speeds are of the same run",
        "one run measured all speeds",
    ),
    Wording(
        r"\byou own\b",
        "You own the application's first line",
        "You can edit the application's first line",
    ),
    Wording(
        r"\bwhat and what\b",
        "it tells what and what to do",
        "it says what is wrong and how to mend it",
    ),
    Wording(
        r"\bthings do not\.",
        "Two things do not. A client lives in the event loop",
        "Two things stop working. A client lives in the event loop",
    ),
    Wording(
        r"\b(could|would|might) else\b",
        "a client which could else not come back",
        "otherwise the client could not connect again",
    ),
)

_CODE: Final = re.compile(r"`+[^`\0]+`+|\{[^{}\0]*\}")
_QUOTES: Final = re.compile(r"^[a-zA-Z]*[\"']+|[\"']+$")
_BETWEEN: Final = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}

Words = Iterator[tuple[int, str]]
"""The words of a text, each with the number of its line. A NUL stands between two texts."""


def in_source(path: Path) -> Words:
    """Yield the words of the comments and of the strings, docstrings and messages among them."""
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            kind = tokenize.tok_name[token.type]
            if kind in ("COMMENT", "STRING", "FSTRING_MIDDLE"):
                text = token.string.lstrip("#") if kind == "COMMENT" else token.string
                for number, line in enumerate(_QUOTES.sub("", text).split("\n"), token.start[0]):
                    yield from ((number, word) for word in line.split())
            elif token.type not in _BETWEEN and not kind.startswith("FSTRING"):
                yield token.start[0], "\0"


def in_document(path: Path) -> Words:
    """Yield the words of a document outside its blocks of code."""
    in_code = False
    for number, line in enumerate(path.read_text().split("\n"), 1):
        in_code ^= line.startswith("```")
        yield from ((number, word) for word in (["\0"] if in_code else line.split() or ["\0"]))


def found(words: Words) -> list[str]:
    """Return the wordings in a text that are hard to read, with their lines."""
    lines, texts = zip(*words, strict=True)
    starts = [0, *accumulate(len(word) + 1 for word in texts)]
    text = _CODE.sub(lambda match: "`" * len(match[0]), " ".join(texts))
    hits = [
        (match.start(), match.end(), wording.plain)
        for wording in WORDINGS
        for match in re.finditer(wording.pattern, text, re.IGNORECASE)
    ]
    return [
        f"{lines[bisect(starts, start) - 1]}: {_around(text, start, end)}; as in: {plain}"
        for start, end, plain in sorted(hits)
    ]


def _around(text: str, start: int, end: int) -> str:
    before, after = text[:start].rpartition("\0")[2], text[end:].partition("\0")[0]
    return before[-40:] + text[start:end] + after[:40]


def written(text: str) -> Words:
    """Yield the words of a text of one line."""
    return ((1, word) for word in text.split())


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("wording", WORDINGS, ids=lambda wording: wording.hard)
def test_a_hard_wording_is_found_and_the_plain_one_is_not(wording: Wording) -> None:
    """Or the other tests would hold whatever the texts say."""
    assert re.search(wording.pattern, wording.hard, re.IGNORECASE)
    assert found(written(wording.hard))
    assert not found(written(wording.plain))


def test_people_may_be_called_who() -> None:
    """The word is wrong for code only."""
    assert not found(written("users who run locks on it"))
    assert found(written("superusers who run locks on it"))


def test_code_is_no_english(tmp_path: Path) -> None:
    """Names in the code and in code spans are not read; comments and strings are, joined."""
    source = tmp_path / "module.py"
    source.write_text(
        'def who(his):\n    """The ``who`` of\n    every\n    two."""\n'
        '    return "what" and "what"\n'
        "# without a\n# line\n"
        'raise ValueError(f"{his} without "\n                 "a line")\n'
    )
    assert [line.partition(":")[0] for line in found(in_source(source))] == ["3", "6", "8"]
    document = tmp_path / "page.md"
    document.write_text("`who` asks every\n\ntwo\n```\nwho asks\n```\n\nwho asks\n")
    assert [line.partition(":")[0] for line in found(in_document(document))] == ["8"]


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_the_texts_of_a_source_are_easy_to_read(source: Path) -> None:
    """Docstrings, comments and messages."""
    assert not found(in_source(source))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_a_document_is_easy_to_read(document: Path) -> None:
    """What stands outside its code."""
    assert not found(in_document(document))
