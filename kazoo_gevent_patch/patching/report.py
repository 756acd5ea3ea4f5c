"""What ``kazoo-gevent-patch inspect`` prints of this process."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict

from kazoo_gevent_patch.inspection.visits import Report
from kazoo_gevent_patch.patching.clients import greenlets
from kazoo_gevent_patch.patching.status import Status


def report(status: Status) -> Report:
    """Make the report as a line of JSON: a text for people, and the same as plain data.

    The text is made here, and not by the command: that may be of another version.
    """
    found = yield from greenlets()
    title = f"process {os.getpid()} at {time.strftime('%Y-%m-%d %H:%M:%S %z')}"
    text = "\n\n".join([title, str(status), *map(str, found)])
    data = {"pid": os.getpid(), "status": status.as_dict(), "greenlets": list(map(asdict, found))}
    return json.dumps({"text": text, "data": data}).encode() + b"\n"
