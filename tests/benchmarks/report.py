"""The results as text and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.kinds import Metric, Workload
from tests.benchmarks.results import Results, Summary, Verdict
from tests.benchmarks.targets import Target
from tests.benchmarks.workloads import WORKLOADS


@dataclass(frozen=True)
class Circumstances:
    """How, when, where and with what a run was made."""

    command: str
    date: str
    rounds: int
    seconds: int
    machine: dict[str, str]
    versions: dict[str, str]


def text(results: Results, circumstances: Circumstances) -> str:
    """Return the tables that a run prints."""
    lines = [
        "Medians of the rounds, and their range",
        *_measurement_lines(results),
        "",
        "Targets of ours; with another one named, its median divides ours",
        *_target_lines(results.verdicts()),
        "",
        *_circumstance_lines(circumstances),
    ]
    for workload, contender in sorted(results.unexpected() & results.failed.keys()):
        lines += ["", f"{contender}, {workload}: {results.failed[workload, contender]}"]
    return "\n".join(lines)


def _measurement_lines(results: Results) -> Iterator[str]:
    for workload in WORKLOADS:
        rows = [(name, _cells(results, workload, name)) for name in workload.contenders]
        if any(cells for _, cells in rows):
            yield f"\n{workload.title}"
            yield from (f"  {name:15} {cells}" for name, cells in rows if cells)
            yield from _series_lines(results, workload)


def _series_lines(results: Results, workload: Workload) -> Iterator[str]:
    """Tell what a unit costs at each size, if there are several."""
    for name in workload.contenders:
        series = results.series(workload.name, name, "cpu")
        if series:
            sizes = ", ".join(f"{size:,}" for size in series)
            costs = ", ".join(f"{cost:,.1f}" for cost in series.values())
            yield f"  {name:15} µs CPU with {sizes} {workload.grows}: {costs}"


def _cells(results: Results, workload: Workload, contender: str) -> str:
    key = (workload.name, contender)
    if key in results.hung:
        return "hangs"
    if key in results.failed:
        return f"fails: {results.failed[key].splitlines()[-1]}"
    summaries = [(metric, results.summary(*key, metric.name)) for metric in workload.metrics]
    return "  ".join(_cell(metric, summary) for metric, summary in summaries if summary)


def _cell(metric: Metric, summary: Summary) -> str:
    ends = f"({metric.text(summary.least)} to {metric.text(summary.most)})"
    return f"{metric.text(summary.median):>7} {ends:17} {metric.unit:8}"


def _target_lines(verdicts: list[Verdict]) -> Iterator[str]:
    for verdict in verdicts:
        target, value, _ = verdict
        if value is not None:
            measured = f"{value.median:.2f} ({value.least:.2f} to {value.most:.2f})"
            limits = f"{target.sense} {target.bound:<5g} {_word(verdict)}"
            yield f"  {_title(target):66} {measured:>24}  {limits}"
    count = Counter(verdict.holds for verdict in verdicts)
    yield f"  {count[True]} hold, {count[False]} do not, {count[None]} were not measured"


def _word(verdict: Verdict) -> str:
    """Tell whether a target holds; if not, what the floor is, which tells whether it can."""
    if verdict.holds:
        return "holds"
    if verdict.floor is None:
        return "DOES NOT HOLD"
    can = ", so no handler can" if verdict.is_out_of_reach else ""
    return f"DOES NOT HOLD; the floor: {verdict.floor.median:.2f}{can}"


def _title(target: Target) -> str:
    workload = next(workload for workload in WORKLOADS if workload.name == target.workload)
    units = {metric.name: metric.unit for metric in workload.metrics}
    title = f"{workload.title}, {units.get(target.metric, 'done')}"
    return f"{title}, {target.versus}" if target.versus else title


def _circumstance_lines(circumstances: Circumstances) -> Iterator[str]:
    yield f"{circumstances.command}: {circumstances.rounds} rounds, {circumstances.date}"
    yield ", ".join(f"{name}: {value}" for name, value in circumstances.machine.items())
    yield ", ".join(f"{name} {value}" for name, value in circumstances.versions.items())


def document(results: Results, circumstances: Circumstances) -> dict[str, Any]:
    """Return everything, ready to be written as JSON."""
    return {
        **asdict(circumstances),
        "contenders": {contender.name: contender.about for contender in CONTENDERS},
        "workloads": {workload.name: _entry(results, workload) for workload in WORKLOADS},
        "targets": [_judgement(verdict) for verdict in results.verdicts()],
    }


def _entry(results: Results, workload: Workload) -> dict[str, Any]:
    return {
        "title": workload.title,
        "units": {metric.name: metric.unit for metric in workload.metrics},
        "contenders": {
            name: _measured(results, workload, name)
            for name in workload.contenders
            if (workload.name, name)
            in results.samples.keys() | results.hung | results.failed.keys()
        },
    }


def _measured(results: Results, workload: Workload, contender: str) -> dict[str, Any] | str:
    key = (workload.name, contender)
    if key in results.hung:
        return "hangs"
    if key in results.failed:
        return f"fails: {results.failed[key].splitlines()[-1]}"
    names = next(iter(results.samples[key].values()))
    summaries = {name: results.summary(*key, name) for name in names}
    return {name: _rounded(summary) for name, summary in summaries.items() if summary}


def _rounded(summary: Summary) -> dict[str, Any]:
    def digits(value: float) -> float:
        return float(f"{value:.5g}")

    return {
        "median": digits(summary.median),
        "least": digits(summary.least),
        "most": digits(summary.most),
        "samples": [digits(sample) for sample in summary.samples],
    }


def _judgement(verdict: Verdict) -> dict[str, Any]:
    value = verdict.value
    return {
        "title": _title(verdict.target),
        **verdict.target._asdict(),
        "measured": None if value is None else _rounded(value),
        "floor": None if verdict.floor is None else _rounded(verdict.floor),
        "out of reach": verdict.is_out_of_reach,
        "holds": verdict.holds,
    }
