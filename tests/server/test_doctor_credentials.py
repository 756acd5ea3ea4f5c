"""``kazoo-gevent-patch doctor`` with a user and a password, which no output shows."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from kazoo.security import CREATOR_ALL_ACL

from tests.server.doctor import Report, client_of, doctor
from tests.server.test_security import JAAS
from tests.support import COMMAND, run_command
from tests.zookeeper import ZooKeeper

PASSWORD = "only-bob-knows"


@pytest.fixture(scope="module")
def sasl_hosts(own_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that knows Alice by her password."""
    jaas = tmp_path_factory.mktemp("jaas") / "jaas.conf"
    jaas.write_text(JAAS.replace("right", PASSWORD))
    with ZooKeeper(
        extra_config={
            "authProvider.1": "org.apache.zookeeper.server.auth.SASLAuthenticationProvider"
        },
        java_options=[
            f"-Djava.security.auth.login.config={jaas}",
            "-Dzookeeper.fips-mode=false",
        ],
    ) as server:
        yield server.hosts


@pytest.fixture
def password_file(tmp_path: Path) -> str:
    """A file with the password and the end of its line."""
    path = tmp_path / "password"
    path.write_text(f"{PASSWORD}\n")
    return str(path)


@pytest.fixture
def closed(zookeeper_hosts: str, chroot: str) -> Iterator[list[str]]:
    """The options for a node that is open to Bob only."""
    with client_of(zookeeper_hosts + chroot) as bob:
        bob.add_auth("digest", f"bob:{PASSWORD}")
        bob.create("/closed", acl=CREATOR_ALL_ACL)
        yield ["--hosts", zookeeper_hosts + chroot, "--path", "/closed"]
        bob.delete("/closed")


@pytest.mark.slow
def test_a_digest_opens_what_is_its_users(closed: list[str], password_file: str) -> None:
    """Without it the ACL forbids; the advice names the options."""
    assert "--digest or --sasl" in _advice_of_the_first_refusal(doctor(*closed, code=None))
    for source in (["--password-file", password_file], ["--password-env", "BOBS"]):
        found = doctor(*closed, "--digest", "bob", *source, code=0, env={"BOBS": PASSWORD})
        assert found["credentials"]["values"] == {"users": ["digest user bob"]}
        assert found["lock"]["level"] == "ok"


def test_a_wrong_digest_is_what_the_acl_says(closed: list[str]) -> None:
    """The server takes any password, and makes another user of it."""
    arguments = [*closed, "--digest", "bob", "--password-env", "BOBS"]
    found = doctor(*arguments, code=None, env={"BOBS": "guess"})
    assert "--digest or --sasl" in _advice_of_the_first_refusal(found)
    assert "credentials" in found["not checked"]["text"]


def _advice_of_the_first_refusal(found: Report) -> str:
    # Since ZooKeeper 3.8.4 and 3.9.2 it is a secret whether the node exists.
    advice: str = found["temporary node" if found["path"]["level"] == "ok" else "path"]["advice"]
    return advice


def test_sasl_is_checked(sasl_hosts: str, password_file: str) -> None:
    """With the right password the server says who it is; a wrong one is refused by name."""
    alice = ["--timeout", "6", "--hosts", sasl_hosts, "--sasl", "alice"]
    found = doctor(*alice, "--password-file", password_file, code=0)
    assert found["credentials"]["values"] == {"users": ["sasl user alice"]}
    wrong = [*alice, "--password-env", "WRONG"]
    result = run_command(["doctor", *wrong], env={"WRONG": "wrong-secret"}, check=False)
    assert result.returncode == 2
    assert "problem  session           the server refuses SASL user alice\n" in result.stdout
    assert "wrong-secret" not in result.stdout + result.stderr


@pytest.mark.parametrize(("scheme", "form"), [("--digest", ["--json"]), ("--sasl", [])])
def test_no_output_has_the_password(
    scheme: str, form: list[str], sasl_hosts: str, password_file: str
) -> None:
    """Nor what the server has made of it."""
    arguments = [scheme, "alice", "--password-file", password_file, *form]
    result = run_command(["doctor", "--timeout", "6", "--hosts", sasl_hosts, *arguments])
    assert PASSWORD not in result.stdout + result.stderr
    assert "user alice" in result.stdout
    assert "alice:" not in result.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--digest", "bob"], "there is no terminal to ask: use --password-file or --password-env"),
        (["--digest", f"bob:{PASSWORD}"], "argument --digest: give the user alone"),
        (["--sasl", f"bob:{PASSWORD}"], "argument --sasl: give the user alone"),
        (
            ["--digest", "bob", "--password-env", "UNSET"],
            "argument --password-env: UNSET is not set",
        ),
        (["--digest", "bob", "--password-env", "EMPTY"], "the password is empty"),
        (
            ["--digest", "bob", "--sasl", "bob"],
            "argument --sasl: not allowed with argument --digest",
        ),
        (["--password-env", "EMPTY"], "a password needs a user: --digest or --sasl"),
        (["--digest", "bob", "--password-file", "/none"], "there is no file '/none'"),
        (["--digest", "bob", "--password-file", "{binary}"], "is no text in UTF-8"),
    ],
)
def test_bad_credentials_are_one_clear_line(
    arguments: list[str], complaint: str, tmp_path: Path
) -> None:
    """After the usage; it repeats nothing that may be a secret."""
    (tmp_path / "binary").write_bytes(f"{PASSWORD}\xe9".encode("latin-1"))
    given = [argument.format(binary=tmp_path / "binary") for argument in arguments]
    result = run_command(["doctor", "--hosts", "h", *given], env={"EMPTY": ""}, check=False)
    assert result.returncode == 2
    assert complaint in result.stderr.splitlines()[-1]
    assert PASSWORD not in result.stderr
    assert result.stdout == ""


def test_a_terminal_is_asked_for_the_password(zookeeper_hosts: str) -> None:
    """It does not show what is typed."""
    ours, theirs = pty.openpty()
    try:
        with os.fdopen(theirs, "rb") as terminal:
            process = subprocess.Popen(
                [COMMAND, "doctor", "--hosts", zookeeper_hosts, "--digest", "bob"],
                stdin=terminal,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            assert process.stderr
            question = b""
            while not question.endswith(b"Password of bob: "):
                question += process.stderr.read(1) or pytest.fail(question.decode())
            os.write(ours, f"{PASSWORD}\n".encode())
            output, errors = process.communicate(timeout=300)
        shown = b""
        with suppress(OSError):  # what Linux raises when the other side is closed
            shown = os.read(ours, 1000)
    finally:
        os.close(ours)
    assert process.returncode == 0
    assert b"the server takes this client for digest user bob" in output
    assert PASSWORD.encode() not in output + errors + shown
