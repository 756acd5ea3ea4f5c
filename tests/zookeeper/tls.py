"""What a server that speaks TLS needs: a key of its own making, and the settings for it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

_PASSWORD: Final = "for-tests"


def tls_config(home: Path, port: int, host: str) -> dict[str, object]:
    """Make a key store in a directory; return the configuration of a server that uses it."""
    key_store = home / "server.p12"
    _make_key(key_store)
    return {
        "secureClientPort": port,
        "secureClientPortAddress": host,
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "ssl.keyStore.location": key_store,
        "ssl.keyStore.password": _PASSWORD,
        "ssl.clientAuth": "none",
    }


def _make_key(key_store: Path) -> None:
    # keytool comes with the Java that runs the server.
    command = ["keytool", "-genkeypair", "-keyalg", "EC", "-dname", "CN=localhost"]
    command += ["-keystore", str(key_store), "-storetype", "PKCS12", "-storepass", _PASSWORD]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
