"""Certificates of the tests' own making, and the settings of a server that speaks TLS."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

_LIFE: Final = timedelta(days=30)


class Authority:
    """A certificate authority that keeps what it makes in a directory."""

    def __init__(self, home: Path, name: str = "authority") -> None:
        self._home = home
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = home / f"{name}.pem"
        """Its own certificate, which clients and servers trust or do not."""
        ca = x509.BasicConstraints(ca=True, path_length=None)
        own = self._certificate(name, self._key.public_key(), timedelta(), ca)
        self.certificate.write_bytes(own)

    def issue(
        self,
        name: str,
        host: str = "localhost",
        *,
        is_expired: bool = False,
        password: str | None = None,
    ) -> Path:
        """Return a file with a new certificate for the host and its key.

        With a password the key is encrypted.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        encryption: KeySerializationEncryption = NoEncryption()
        if password is not None:
            encryption = BestAvailableEncryption(password.encode())
        age = 2 * _LIFE if is_expired else timedelta()
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        path = self._home / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
            + self._certificate(name, key.public_key(), age, names)
        )
        return path

    def _certificate(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        age: timedelta,
        extension: x509.ExtensionType,
    ) -> bytes:
        # An hour's grace for clocks that differ.
        begin = datetime.now(timezone.utc) - age - timedelta(hours=1)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_distinguished(name))
            .issuer_name(_distinguished(self._name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(begin + _LIFE)
            .add_extension(extension, critical=False)
        )
        return builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM)


def _distinguished(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def tls_config(
    certificate: Path, port: int, host: str, clients: Authority | None = None
) -> dict[str, object]:
    """Return the settings of a server that has the certificate.

    With ``clients`` it takes only clients that have one of that authority.
    """
    trust = {"ssl.trustStore.location": clients.certificate} if clients else {}
    return {
        "secureClientPort": port,
        "secureClientPortAddress": host,
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "ssl.keyStore.location": certificate,
        "ssl.clientAuth": "need" if clients else "none",
        **trust,
    }
