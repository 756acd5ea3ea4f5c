"""The WSGI application: a page, its stream, its files, and a status for machines."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

from .membership import Membership
from .page import STATIC, page
from .streams import Stream

MAX_STREAMS: Final = int(os.environ.get("REGISTRY_STREAMS", "500"))
"""Of the 1,000 connections that gunicorn gives a worker; the rest is for other requests."""

HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
}

FILES: Final = {
    "registry.css": "text/css; charset=utf-8",
    "registry.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}

membership = Membership(os.environ.get("ZK_HOSTS", "127.0.0.1:2181"))
membership.start()

StartResponse = Callable[[str, list[tuple[str, str]]], object]


def app(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
    """Answer a request."""
    path = environ["PATH_INFO"]
    name = path.removeprefix("/static/")
    if environ["REQUEST_METHOD"] != "GET":
        return _text(start_response, HTTPStatus.METHOD_NOT_ALLOWED, Allow="GET")
    if path == "/":
        html = page(membership.view, membership.session())
        return _respond(start_response, html.encode(), "text/html; charset=utf-8")
    if path == "/events":
        return _stream(start_response)
    if path == "/status":
        status = {"pid": os.getpid(), "streams": len(Stream.open)}
        return _respond(start_response, json.dumps(status).encode(), "application/json")
    if name in FILES:
        return _respond(start_response, (STATIC / name).read_bytes(), FILES[name])
    return _text(start_response, HTTPStatus.NOT_FOUND)


def _stream(start_response: StartResponse) -> Iterable[bytes]:
    if len(Stream.open) >= MAX_STREAMS:
        headers = {"Retry-After": "5"}
        return _text(start_response, HTTPStatus.SERVICE_UNAVAILABLE, **headers)
    headers = {**HEADERS, "Content-Type": "text/event-stream"}
    start_response("200 OK", list(headers.items()))
    return Stream(membership)


def _text(start_response: StartResponse, status: HTTPStatus, **headers: str) -> Iterable[bytes]:
    body = f"{status.phrase}\n".encode()
    return _respond(start_response, body, "text/plain; charset=utf-8", status, headers)


def _respond(
    start_response: StartResponse,
    body: bytes,
    kind: str,
    status: HTTPStatus = HTTPStatus.OK,
    more: dict[str, str] | None = None,
) -> Iterable[bytes]:
    headers = {**HEADERS, "Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}
    start_response(f"{status.value} {status.phrase}", list(headers.items()))
    return [body]
