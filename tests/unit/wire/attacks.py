"""What a hostile peer does to one of the frames that it sends."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from random import Random
from typing import Final

KINDS: Final = (
    "as it is",
    "length",
    "truncated",
    "twice",
    "merged",
    "late",
    "never",
    "xid",
    "error",
    "event",
    "read only",
    "noise instead",
    "noise before",
    "noise after",
    "noise within",
)
AFTERWARDS: Final = ("go on", "silence", "close", "reset")

LENGTHS: Final = (0, -1, 2**31 - 1, -(2**31), 1, 15, 16, 17, 1 << 20)
XIDS: Final = (0, -1, -2, -4, 1, 2, 77, 2**31 - 1, -(2**31))
ERRORS: Final = (-1, -4, -101, -112, -115, -118, -125, 1, 2**31 - 1)
NUMBERS: Final = tuple(dict.fromkeys(LENGTHS + XIDS + ERRORS))


@dataclass(frozen=True)
class Attack:
    """What happens to one frame of a connection, and to the connection afterwards."""

    at: int
    """Which frame: 0 is the reply to the handshake, 1 the reply to the first request."""

    kind: str
    """One of ``KINDS``."""

    number: int = 0
    """The length, the xid or the error that the frame is to name; where it is to be cut."""

    noise: bytes = b""
    """Bytes that mean nothing."""

    then: str = "go on"
    """One of ``AFTERWARDS``."""

    def mangled(self, frame: bytes) -> bytes:
        """Return what leaves instead of the frame."""
        number, body, noise = struct.pack("!i", self.number), frame[4:], self.noise
        mangled = {
            "as it is": frame,
            "length": number + body,
            "truncated": frame[: self.number % len(frame)],
            "twice": frame * 2,
            "merged": framed(body * 2),
            "late": b"",  # the peer sends it behind the next one
            "never": b"",
            "xid": frame[:4] + number + frame[8:],
            "error": frame[:16] + number + frame[20:],
            "event": framed(struct.pack("!iqi", -1, 1, 0) + noise) + frame,
            "read only": frame[:-1] + b"\1",  # of the handshake
            "noise instead": noise,
            "noise before": noise + frame,
            "noise after": frame + noise,
            "noise within": framed(noise),
        }[self.kind]
        if self.at == 0:
            # How long a silence lasts is the server's to say: kazoo takes the session time-out
            # at its word, days included, and no test could wait for that.
            return mangled[:8] + frame[8:12] + mangled[12:] if len(mangled) > 8 else mangled
        return mangled


def framed(message: bytes) -> bytes:
    """Return the message behind its length."""
    return struct.pack("!i", len(message)) + message


def from_seed(seed: int) -> tuple[Attack, ...]:
    """Return what happens to the first connections, the same for the same seed."""
    random = Random(seed)
    return tuple(
        Attack(
            at=random.choice((0, 1, 1, 2, 3, 5, 8)),
            kind=random.choice(KINDS),
            number=random.choice((*NUMBERS, random.randint(-(2**31), 2**31 - 1))),
            noise=random.randbytes(random.choice((1, 4, 16, 20, 100, 5000))),
            then=random.choice(("go on", *AFTERWARDS)),
        )
        for _ in range(random.choice((1, 1, 2, 3)))
    )
