"""A ZooKeeper server on a free loopback port."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tests import children
from tests.ports import free_block
from tests.zookeeper.debian import class_path

HOST = "127.0.0.1"
START_TIMEOUT = 120.0
_STOP_TIMEOUT = 60.0
_ANSWER_TIMEOUT = 5.0
# A server that is just coming up can lose a question.
_EARLY_ANSWER_TIMEOUT = 0.5
# How often other ports are tried if another program takes one between choice and start.
START_TRIES = 5
_POLL_INTERVAL = 0.02
_LOG_TAIL_LINES = 40
_MAIN_CLASS = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
_JAVA_OPTIONS = (
    "-Xmx512m",
    "-XX:-UsePerfData",  # its file in the temporary directory would outlive a killed server
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)


class StartError(RuntimeError):
    """A server did not come up; the message ends with the tail of its log."""


class PortTakenError(StartError):
    """A server did not come up because another program has one of its ports."""


class ZooKeeper:
    """One server, in a process of its own; standalone unless `extra_config` names its peers."""

    def __init__(
        self,
        *,
        tick_time: int = 500,
        jute_maxbuffer: int | None = None,
        extra_config: Mapping[str, object] | None = None,
        java_options: Sequence[str] = (),
        port: int | None = None,
        myid: int | None = None,
    ) -> None:
        self._home = TemporaryDirectory(prefix="zookeeper-")
        self._data = Path(self._home.name, "data")
        self._data.mkdir()
        if myid is not None:
            (self._data / "myid").write_text(str(myid))
        self._log = Path(self._home.name, "server.log")
        self._config: dict[str, object] = {
            "tickTime": tick_time,
            "minSessionTimeout": 2 * tick_time,
            "maxSessionTimeout": 120_000,
            "dataDir": self._data,
            "clientPortAddress": HOST,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "*",
            "forceSync": "no",  # data outlives a killed server, not the machine: enough, and quick
            **(extra_config or {}),
        }
        self._java_options = [*_JAVA_OPTIONS, *java_options]
        if jute_maxbuffer is not None:
            self._java_options.append(f"-Djute.maxbuffer={jute_maxbuffer}")
        self._keeps_port = port is not None
        self._port = free_block([0]) if port is None else port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> ZooKeeper:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def hosts(self) -> str:
        """The connect string."""
        return f"{HOST}:{self._port}"

    @property
    def port(self) -> int:
        """The client port."""
        return self._port

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the server has a process, be it paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start, and return when the server serves; port and data are those of the last time."""
        for other_ports_left in reversed(range(START_TRIES)):
            self.launch()
            try:
                self.wait_until_serving()
            except PortTakenError:
                if self._keeps_port or not other_ports_left:
                    raise
                self._port = free_block([0])
            else:
                self._keeps_port = True
                return

    def launch(self) -> None:
        """Start the process and return at once: a server of an ensemble cannot serve alone."""
        if self.is_running:
            raise RuntimeError(f"the server on {self.hosts} is running already")
        config_file = Path(self._home.name, "zoo.cfg")
        config = {**self._config, "clientPort": self._port}
        config_file.write_text("".join(f"{key}={value}\n" for key, value in config.items()))
        java = ["java", *self._java_options, "-cp", class_path("slf4j-simple")]
        with self._log.open("wb") as log:
            self._process = children.spawn([*java, _MAIN_CLASS, str(config_file)], stdout=log)

    def wait_until_serving(self) -> None:
        """Return when the server answers clients; kill it and raise when it does not in time."""
        deadline = time.monotonic() + START_TIMEOUT
        try:
            while not self._is_serving():
                if not self.is_running or time.monotonic() > deadline:
                    raise self._start_error()
                time.sleep(_POLL_INTERVAL)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Ask the server to end, and wait until it has; its data stay."""
        if self._process is None:
            return
        if self.is_running:
            self.resume()
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """End the server at once, as a crash does; its data stay."""
        if self._process is not None:
            children.kill(self._process)
            self._process = None

    def restart(self) -> None:
        """Stop, and start on the same port with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Make the server stand still: it keeps its connections and answers nothing."""
        process = self._running()
        process.send_signal(signal.SIGSTOP)
        # Until it has stopped it can still answer. WNOWAIT leaves the status to a later wait.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._running().send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server, and remove its data."""
        self.stop()
        self._home.cleanup()

    def transaction_logs(self) -> list[Path]:
        """Return the files with every transaction that the server has seen since it was made."""
        return sorted(self._data.glob("version-2/log.*"))

    def four_letter(self, word: str, timeout: float = _ANSWER_TIMEOUT) -> str:
        """Return the server's answer to a four-letter word such as `mntr`."""
        return _four_letter((HOST, self._port), word, timeout)

    def mode(self) -> str:
        """Return `standalone`, `leader` or `follower`; the empty string when it serves nobody."""
        try:
            answer = self.four_letter("srvr")
        except OSError:
            return ""
        _, _, mode = answer.partition("Mode: ")
        return mode.partition("\n")[0]

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"the server on {self.hosts} is not running")
        return self._process

    def _is_serving(self) -> bool:
        # The data directory tells this server from another that took the port first.
        try:
            return f"dataDir={self._data}" in self.four_letter("conf", _EARLY_ANSWER_TIMEOUT)
        except OSError:
            return False

    def _start_error(self) -> StartError:
        log = self._log.read_text(errors="replace")
        error = PortTakenError if "Address already in use" in log else StartError
        tail = "\n".join(log.splitlines()[-_LOG_TAIL_LINES:])
        return error(f"ZooKeeper on {self.hosts} did not come up; the end of its log:\n{tail}")


def reported_version(hosts: str) -> str:
    """Return the version that the first server of a connect string says it has."""
    host, _, port = hosts.partition("/")[0].split(",")[0].rpartition(":")
    # `srvr` is the one word that every server answers, unless it was told otherwise.
    answer = _four_letter((host, int(port)), "srvr", _ANSWER_TIMEOUT)
    match = re.search(r"version: (\d+\.\d+\.\d+)", answer)
    if match is None:
        raise RuntimeError(f"{host}:{port} does not tell its version: {answer!r}")
    return match[1]


def _four_letter(address: tuple[str, int], word: str, timeout: float) -> str:
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(word.encode())
        with connection.makefile("rb") as answer:
            return answer.read().decode()
