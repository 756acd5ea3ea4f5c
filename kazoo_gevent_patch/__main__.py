"""``python -m kazoo_gevent_patch`` is the command ``kazoo-gevent-patch``."""

import sys

from kazoo_gevent_patch.commands.line import main

if __name__ == "__main__":
    sys.exit(main())
