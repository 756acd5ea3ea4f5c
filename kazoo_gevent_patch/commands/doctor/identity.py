"""What answers at a port: ZooKeeper, with TLS or without, or something else."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import gevent

from kazoo_gevent_patch.commands.doctor.findings import Level

_SRVR: Final = b"srvr"
"""The one four-letter word that ZooKeeper answers unless it is told otherwise."""

_GET: Final = b"GET / HTTP/1.0\r\n\r\n"
QUESTIONS: Final = 4

_LONGEST_ANSWER: Final = 4096
_SHOWN: Final = 40  # bytes of an answer that nobody knows

_VERSION: Final = re.compile(r"Zookeeper version: (\d+(?:\.\d+)*)")
_MODE: Final = re.compile(r"^Mode: (\S+)", re.MULTILINE)

_OTHER_PORT: Final = "correct host or port; ZooKeeper's clientPort in zoo.cfg is mostly 2181"

WANTS_CERTIFICATE: Final = (
    "the server may want a client certificate that it trusts: --cert and --key"
)

Open = Callable[[bool], Any]
"""Opens a connection, with TLS or without."""


@dataclass(frozen=True)
class Identity:
    """What a port was found to be."""

    level: Level
    text: str
    advice: str = ""
    is_fit: bool = True
    """Whether a session may be had there."""

    values: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Answer:
    data: bytes = b""
    error: Exception | None = None
    has_tls: bool = False
    """Whether the other side has shown that it speaks TLS."""


def identify(connect: Open, *, tls: bool, limit: float) -> Identity:
    """Ask what answers there, one question after the other: a small server hears but one.

    :param connect: opens a connection to it.
    :param tls: whether the session is to have TLS. What answers the other way is told too.
    :param limit: seconds for the answer to one question, of which there are ``QUESTIONS``.
    """
    answers = []
    for question, with_tls in ((_SRVR, tls), (_GET, tls), (_SRVR, not tls), (_GET, not tls)):
        answer = _ask(connect, question, with_tls, limit)
        if found := _zookeeper(answer.data):
            return found if with_tls == tls else _mixed_up(tls)
        if found := _something_else(answer.data):
            return found
        answers.append(answer)
    return _by_tls_alone(answers[0 if tls else 2], tls) or Identity(
        Level.warning, "it does not say what it is", "see whether it gives a session"
    )


def is_alert(error: Exception) -> bool:
    """Return whether a peer that speaks TLS has ended the connection by saying why."""
    return isinstance(error, ssl.SSLError) and "ALERT" in (error.reason or "")


def _ask(connect: Open, question: bytes, tls: bool, limit: float) -> _Answer:
    connection: Any = None
    data = b""
    try:
        with gevent.Timeout(limit, TimeoutError(f"no answer in {limit:g} s")):
            connection = connect(tls)
            connection.sendall(question)
            while len(data) < _LONGEST_ANSWER and (more := connection.recv(_LONGEST_ANSWER)):
                data += more
    except Exception as error:
        return _Answer(data, error, tls and (connection is not None or is_alert(error)))
    finally:
        if connection is not None:
            connection.close()
    return _Answer(data, has_tls=tls)


def _zookeeper(data: bytes) -> Identity | None:
    text = data.decode(errors="replace")
    if found := _VERSION.match(text):
        mode = _MODE.search(text)
        values: dict[str, object] = {"version": found[1], "mode": mode[1] if mode else None}
        named = f"ZooKeeper {found[1]}" + (f", {mode[1]}" if mode else "")
        return Identity(Level.ok, named, values=values)
    if text.startswith("This ZooKeeper instance is not currently serving"):
        return Identity(
            Level.problem,
            "ZooKeeper, which serves nobody now: it has no quorum",
            "see its log; most members of the ensemble must run and reach each other",
            is_fit=False,
            values={"version": None, "mode": "not serving"},
        )
    if "is not executed because it is not in the whitelist" in text:
        text = "ZooKeeper, which may not say more: 4lw.commands.whitelist lacks srvr"
        return Identity(Level.ok, text, values={"version": None, "mode": None})
    return None


def _mixed_up(tls: bool) -> Identity:
    if tls:
        text, advice = "ZooKeeper without TLS", "leave out --tls, or name its secureClientPort"
    else:
        text, advice = "ZooKeeper with TLS", "add --tls, or name its clientPort"
    return Identity(Level.problem, text, advice, is_fit=False)


def _something_else(data: bytes) -> Identity | None:
    if data.startswith(b"HTTP/"):
        return Identity(Level.problem, "an HTTP server, no ZooKeeper", _OTHER_PORT, is_fit=False)
    if data:
        text = f"no ZooKeeper; it says {ascii(data[:_SHOWN])[1:]}"
        return Identity(Level.problem, text, _OTHER_PORT, is_fit=False)
    return None


def _by_tls_alone(answer: _Answer, tls: bool) -> Identity | None:
    """Judge by what came of TLS alone, where nothing has said a word."""
    if tls and answer.error and is_alert(answer.error):
        return Identity(Level.problem, str(answer.error), WANTS_CERTIFICATE, is_fit=False)
    if not tls and answer.has_tls:
        return Identity(
            Level.problem, "it speaks TLS", "add --tls, or name a plain port", is_fit=False
        )
    return None
