"""The page, and the part of it that changes, as HTML."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import Final

from .membership import Member, View

STATIC: Final = Path(__file__).parent / "static"
PAGE: Final = Template((STATIC / "page.html").read_text())

FRAGMENT: Final = Template("""\
<dl>
<div><dt>Workers</dt><dd>$count</dd></div>
<div><dt>Leader</dt><dd>$leader</dd></div>
</dl>
$warning
<div class="scroll" role="region" aria-labelledby="caption" tabindex="0">
<table>
<caption id="caption">Workers that are alive, the oldest first</caption>
<thead><tr><th scope="col">Worker</th><th scope="col">Host</th>
<th scope="col">Session</th><th scope="col">Registered (UTC)</th></tr></thead>
<tbody>
$rows
</tbody>
</table>
</div>""")

ROW: Final = Template("""\
<tr id="member-$session" data-pid="$pid"><th scope="row">$pid$tags</th><td>$host</td>
<td><code>0x$session</code></td><td><time datetime="$iso">$since</time></td></tr>""")

OUT_OF_DATE: Final = """\
<p class="warning"><strong>Out of date.</strong> The worker that serves this page has no \
connection to ZooKeeper. It is trying to connect.</p>"""


def page(view: View, own_session: str | None) -> str:
    """Return the whole page, which needs no script to be read."""
    return PAGE.substitute(view=fragment(view, own_session))


def fragment(view: View, own_session: str | None) -> str:
    """Return what a stream sends when the view has changed."""
    return FRAGMENT.substitute(
        count=len(view.members),
        leader=escape(str(view.leader.pid)) if view.leader else "none",
        warning="" if view.connected else OUT_OF_DATE,
        rows="\n".join(_row(member, view, own_session) for member in view.members),
    )


def _row(member: Member, view: View, own_session: str | None) -> str:
    tags = ""
    if member is view.leader:
        tags += ' <span class="tag leader">leader</span>'
    if member.session == own_session:
        tags += ' <span class="tag own">serves this page</span>'
    return ROW.substitute(
        session=escape(member.session),
        pid=escape(str(member.pid)),
        host=escape(member.host),
        tags=tags,
        iso=member.since.isoformat(),
        since=f"{member.since:%Y-%m-%d %H:%M:%S}",
    )
