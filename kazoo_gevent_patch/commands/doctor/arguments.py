"""The options of ``doctor``, and what they say about the servers."""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass, field
from importlib.util import find_spec

from kazoo_gevent_patch.commands.doctor import passwords
from kazoo_gevent_patch.patching.versions import compares_host_names
from kazoo_gevent_patch.settings.environment import quoted


@dataclass(frozen=True)
class Target:
    """The servers to check, and how."""

    hosts: str
    """kazoo's connect string, with the chroot."""

    addresses: tuple[tuple[str, int], ...]
    """The name and the port of each server in it."""

    chroot: str
    timeout: float
    """Seconds that each step may take."""

    parent: str
    """The node under which a temporary one is made."""

    tls: dict[str, object]
    """The arguments for TLS of ``KazooClient``; empty without."""

    user: str = ""
    """The user that the client is, with the scheme; empty without credentials."""

    auth: dict[str, object] = field(default_factory=dict, repr=False)
    """The arguments of ``KazooClient`` that hold the password."""

    def client_options(self) -> dict[str, object]:
        """Return the arguments of ``KazooClient`` for TLS and credentials."""
        return {**self.tls, **self.auth}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``doctor`` to its parser."""
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    server = parser.add_argument_group("a live check", "All of these need --hosts.")
    server.add_argument(
        "--hosts", metavar="HOSTS", help="the servers, as for KazooClient: host:port,.../chroot"
    )
    server.add_argument(
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="how long each step may take (default: 10)",
    )
    server.add_argument(
        "--path",
        type=_path,
        metavar="NODE",
        help="the node under which a temporary one is made and removed again (default: /)",
    )
    tls = parser.add_argument_group("TLS", "As kazoo's use_ssl, ca, certfile, keyfile and so on.")
    tls.add_argument("--tls", action="store_true", help="connect with TLS")
    tls.add_argument("--ca", type=_file, metavar="FILE", help="the certificates to trust")
    tls.add_argument("--cert", type=_file, metavar="FILE", help="the client's certificate")
    tls.add_argument("--key", type=_file, metavar="FILE", help="the client's private key")
    tls.add_argument("--no-verify", action="store_true", help="accept any certificate")
    tls.add_argument(
        "--check-hostname", action="store_true", help="compare the certificate with the host"
    )
    auth = parser.add_argument_group(
        "credentials", "Without a file or a variable, a terminal is asked for the password."
    )
    scheme = auth.add_mutually_exclusive_group()
    scheme.add_argument("--digest", type=_user, metavar="USER", help="authenticate by digest")
    scheme.add_argument(
        "--sasl", type=_user, metavar="USER", help="authenticate by SASL DIGEST-MD5"
    )
    source = auth.add_mutually_exclusive_group()
    source.add_argument(
        "--password-file", type=_file, metavar="FILE", help="the file that holds the password"
    )
    source.add_argument(
        "--password-env", metavar="NAME", help="the variable that holds the password"
    )


_ONLY_WITH = {
    "hosts": ("timeout", "path", "tls", "digest", "sasl", "password_file", "password_env"),
    "tls": ("ca", "cert", "key", "no_verify", "check_hostname"),
    "cert": ("key",),
    "key": ("cert",),
}
"""An option, and those that mean nothing without it."""


def target_of(options: argparse.Namespace, parser: argparse.ArgumentParser) -> Target | None:
    """Return what the options say about the servers; None if they name none.

    Ends the program, with a line that says why, if they contradict each other.
    """
    given = vars(options)
    for needed, others in _ONLY_WITH.items():
        for other in others:
            if given[other] and not given[needed]:
                parser.error(f"{_flag(other)} needs {_flag(needed)}")
    if options.no_verify and options.check_hostname:
        parser.error("--check-hostname cannot be had with --no-verify")
    if options.check_hostname and not compares_host_names():
        parser.error("--check-hostname needs kazoo 2.11 or newer")
    if options.hosts is None or find_spec("kazoo") is None:
        return None
    try:
        addresses, chroot = _parse(options.hosts)
    except ValueError as error:
        what = f"{quoted(options.hosts)} is not host:port,.../chroot"
        parser.error(f"argument --hosts: {what}: {str(error)[:200]}")
    return Target(
        hosts=options.hosts,
        addresses=addresses,
        chroot=chroot,
        timeout=options.timeout or 10.0,
        parent=options.path or "/",
        tls=_tls(options) if options.tls else {},
        **passwords.credentials(options, parser),
    )


def _parse(hosts: str) -> tuple[tuple[tuple[str, int], ...], str]:
    from kazoo.hosts import collect_hosts

    addresses, chroot = collect_hosts(hosts)
    return tuple(addresses), chroot or ""


def _tls(options: argparse.Namespace) -> dict[str, object]:
    names = {"check_hostname": True} if options.check_hostname else {}
    return {
        "use_ssl": True,
        "ca": options.ca,
        "certfile": options.cert,
        "keyfile": options.key,
        "verify_certs": not options.no_verify,
        **names,
    }


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def seconds(text: str) -> float:
    """Return a number of seconds that is given as a text."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise argparse.ArgumentTypeError(f"{quoted(text)} is not a number of seconds above 0")
    return found


def _user(text: str) -> str:
    if ":" in text:
        # Not a word of it in the message: everybody sees the command line, and logs keep this.
        raise argparse.ArgumentTypeError(
            "give the user alone: a password in the command line shows in the list of processes"
        )
    return text


def _path(text: str) -> str:
    if not text.startswith("/"):
        raise argparse.ArgumentTypeError(f"{quoted(text)} does not begin with /")
    return text.rstrip("/") or "/"


def _file(text: str) -> str:
    if not os.access(text, os.R_OK):
        raise argparse.ArgumentTypeError(f"there is no file {quoted(text)}, or it may not be read")
    return text
