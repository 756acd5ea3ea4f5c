"""A run in words and figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from tests.soak.checks import CHECKS, Evidence
from tests.soak.history import ACKNOWLEDGED, FAILED, UNKNOWN, History

_ROWS: Final = 30
_LONGEST_LIST: Final = 20
_MIB: Final = 1 << 20


def text(evidence: Evidence, broken: Mapping[str, Sequence[str]]) -> str:
    """Return what was done, what it took over time, what was seen, and what does not hold."""
    history = evidence.history
    parts = (_over_time(history), _operations(history), _errors(history), _verdicts(broken))
    return "\n\n".join("\n".join(lines) for lines in parts)


def _over_time(history: History) -> Iterator[str]:
    yield "   time  memory MiB  descriptors  threads  greenlets  watchers  errors  faults"
    step = max(1, len(history.samples) // _ROWS)
    start = history.samples[0].time
    times = [record.time for record in history.returned.values() if record.error]
    for sample in history.samples[::step]:
        minutes, seconds = divmod(int(sample.time - start), 60)
        seen = sum(time <= sample.time for time in times)
        faults = sum(fault.ended <= sample.time for fault in history.faults)
        yield (
            f"{minutes:4}:{seconds:02}  {sample.memory / _MIB:10.1f}  {sample.descriptors:11}"
            f"  {sample.threads:7}  {sample.greenlets:9}  {sample.watchers:8}  {seen:6}  {faults:6}"
        )


def _operations(history: History) -> Iterator[str]:
    counts = Counter((record.kind, history.outcome(record)) for record in history.invoked)
    yield f"{'operation':10}  {ACKNOWLEDGED:>12}  {FAILED:>8}  {UNKNOWN:>8}"
    for kind in sorted({kind for kind, _ in counts}):
        figures = [counts[kind, outcome] for outcome in (ACKNOWLEDGED, FAILED, UNKNOWN)]
        yield f"{kind:10}  {figures[0]:12,}  {figures[1]:8,}  {figures[2]:8,}"


def _errors(history: History) -> Iterator[str]:
    faults = Counter(fault.name.replace("_", " ") for fault in history.faults)
    yield "broken: " + ", ".join(f"{name} {times}" for name, times in sorted(faults.items()))
    seen = sorted(history.errors().items())
    yield "errors: " + (", ".join(f"{name} {times:,}" for name, times in seen) or "none")


def _verdicts(broken: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for check in CHECKS:
        found = broken.get(check.__name__, ())
        yield f"{'BROKEN' if found else 'holds '}  {check.__doc__ or ''}".partition("\n")[0]
        yield from (f"        {line}" for line in found[:_LONGEST_LIST])
        if len(found) > _LONGEST_LIST:
            yield f"        and {len(found) - _LONGEST_LIST} more"
