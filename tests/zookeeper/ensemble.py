"""Several ZooKeeper servers that elect a leader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.ports import free_block
from tests.support import wait_until
from tests.zookeeper.server import HOST, START_TIMEOUT, START_TRIES, PortTakenError, ZooKeeper


class Ensemble:
    """A leader and its followers; the options are those of a single server."""

    def __init__(
        self,
        size: int = 3,
        *,
        tick_time: int = 500,
        jute_maxbuffer: int | None = None,
        extra_config: Mapping[str, object] | None = None,
        java_options: Sequence[str] = (),
    ) -> None:
        self._size = size
        self._tick_time = tick_time
        self._jute_maxbuffer = jute_maxbuffer
        self._extra_config = extra_config or {}
        self._java_options = java_options
        self._keeps_ports = False
        self.servers = self._new_servers()

    def __enter__(self) -> Ensemble:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def hosts(self) -> str:
        """The connect string: every server of the ensemble."""
        return ",".join(server.hosts for server in self.servers)

    def start(self) -> None:
        """Start every server that does not run, and return when one leads and the others follow."""
        for other_ports_left in reversed(range(START_TRIES)):
            try:
                self._start_servers()
            except PortTakenError:
                if self._keeps_ports or not other_ports_left:
                    raise
                self.close()
                self.servers = self._new_servers()
            else:
                self._keeps_ports = True
                return

    def stop(self) -> None:
        """Ask every server to end, and wait until all have; their data stay."""
        for server in self.servers:
            server.stop()

    def kill(self) -> None:
        """End every server at once; their data stay."""
        for server in self.servers:
            server.kill()

    def restart(self) -> None:
        """Stop all, and start all on the same ports with the same data."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop every server, and remove the data."""
        for server in self.servers:
            server.close()

    def leader(self) -> ZooKeeper:
        """Return the server that leads now; raise LookupError when none does."""
        for server in self.servers:
            if server.mode() == "leader":
                return server
        raise LookupError("no server of the ensemble leads")

    def followers(self) -> list[ZooKeeper]:
        """Return the servers that follow a leader now."""
        return [server for server in self.servers if server.mode() == "follower"]

    def wait_until_complete(self, timeout: float = START_TIMEOUT) -> None:
        """Return when one server leads and all others follow."""
        expected = ["follower"] * (self._size - 1) + ["leader"]
        wait_until(
            lambda: sorted(server.mode() for server in self.servers) == expected,
            timeout,
            message=lambda: f"modes: {[server.mode() for server in self.servers]}",
        )

    def _start_servers(self) -> None:
        try:
            for server in self.servers:
                if not server.is_running:
                    server.launch()
            for server in self.servers:
                server.wait_until_serving()
            self.wait_until_complete()
        except BaseException:
            self.kill()
            raise

    def _new_servers(self) -> list[ZooKeeper]:
        ids = range(1, self._size + 1)
        base = free_block(range(3 * self._size))
        peers = {f"server.{i}": f"{HOST}:{base + 3 * i - 2}:{base + 3 * i - 1}" for i in ids}
        # In ticks: with less, a loaded machine takes slow peers for dead ones.
        limits = {"initLimit": 20, "syncLimit": 6}
        return [
            ZooKeeper(
                tick_time=self._tick_time,
                jute_maxbuffer=self._jute_maxbuffer,
                extra_config={**limits, **peers, **self._extra_config},
                java_options=self._java_options,
                port=base + 3 * (i - 1),
                myid=i,
            )
            for i in ids
        ]
