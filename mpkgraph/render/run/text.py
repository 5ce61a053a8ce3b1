"""A run for people: what is wrong and who is behind it, then how close everything is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mpkgraph.analysis.execution.hang import Hang
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.reference.interpreter.faults import TEXT, Fault
from mpkgraph.reference.interpreter.unknown import Skipped
from mpkgraph.reference.validation.blame import Blame
from mpkgraph.reference.validation.origin import Origin
from mpkgraph.reference.validation.result import (
    Replayed,
    RunOutcome,
    RunReport,
    TensorVerdict,
    Unchecked,
)
from mpkgraph.render.escape import printable
from mpkgraph.render.text import TextWriter, count

MAX_TENSORS = 24
"""Right tensors that are listed; `--json` has all."""
MAX_WRONG = 12
MAX_WAITS = 6
BAD = {"fg": "red", "bold": True}
GOOD = {"fg": "green", "bold": True}


def run_text(out: TextWriter, report: RunReport) -> None:
    """One report."""
    out.heading(report.name, f"{count(report.num_layers, 'layer')} on {_ranks(report)}")
    out.fields(
        (
            ("inputs", report.source),
            ("against", report.against),
            ("graph", ", ".join(x[:16] for _, x in sorted(report.graph_hashes.items()))),
        )
    )
    for outcome in report.outcomes:
        _outcome(out, outcome)
    for replayed in report.replays:
        _replayed(out, replayed)
    _skipped(out, report.skipped)
    out.line()
    for note in report.notes:
        out.line(f"note: {printable(note)}")
    out.line(out.style(summary(report), **(BAD if report.fails else GOOD)))


def summary(report: RunReport) -> str:
    """The last line: right or wrong, in how many orders."""
    if report.is_replay:
        shown = sum(x.is_shown for x in report.replays)
        return f"{shown} of {count(len(report.replays), 'finding')} shown by a run"
    failing = report.failing
    shown_by = next((x for x in report.replays if x.is_shown), None)
    if failing is not None:
        return f"wrong: {_what(failing)} ({failing.schedule})"
    if shown_by is not None and shown_by.outcome is not None:
        return (
            f"wrong in some orders: {_what(shown_by.outcome)}, as {shown_by.finding.rule.code} says"
        )
    if report.skipped and not report.num_checked:
        return "nothing could be checked"
    orders = len(report.outcomes) + sum(x.num_tried for x in report.replays)
    rest = f", {count(len(report.skipped), 'operator')} not executed" if report.skipped else ""
    return f"right: {count(report.num_checked, 'tensor')} in {count(orders, 'order')}{rest}"


def _what(outcome: RunOutcome) -> str:
    blame, began = outcome.blame, outcome.origin
    if blame is not None and began is not None and not began.follows(blame):
        return printable(f"{began.tensor} is wrong by {began.operator_name}")
    if blame is not None:
        behind = f" by {blame.operator_name}" if blame.operator_name else ""
        return printable(f"{blame.tensor} is wrong{behind}")
    if outcome.hang is not None:
        return f"{count(outcome.hang.num_tasks, 'task')} never run"
    return printable(str(outcome.faults[0])) if outcome.faults else "nothing"


def _ranks(report: RunReport) -> str:
    return count(len(report.graph_hashes), "rank")


def _outcome(out: TextWriter, outcome: RunOutcome) -> None:
    out.line()
    verdict = "right" if outcome.passes else "WRONG"
    style = GOOD if outcome.passes else BAD
    joined = outcome.num_calls < outcome.num_tasks - 1
    calls = f" in {count(outcome.num_calls, 'call')}" if joined else ""
    wrong = len(outcome.wrong)
    compared = count(len(outcome.verdicts), "tensor")
    told = f"{wrong} of {compared} wrong" if wrong else f"{compared} right"
    if outcome.num_tasks == 0:
        told = f"{told}, nothing was run"
    out.line(
        f"  {out.style(verdict, **style)}  {printable(outcome.schedule)}: "
        f"{count(outcome.num_tasks, 'task')}{calls}, {told}"
    )
    if outcome.hang is not None:
        _hang(out, outcome.hang)
    for fault in outcome.faults[:MAX_WRONG]:
        _fault(out, fault)
    if outcome.blame is not None:
        _blame(out, outcome, outcome.blame)
        if outcome.origin is not None:
            _origin(out, outcome.origin)
            _findings(out, outcome.findings)
    elif outcome.findings:
        _findings(out, outcome.findings)
    _tensors(out, outcome)
    _unchecked(out, outcome.unchecked)


def _fault(out: TextWriter, fault: Fault) -> None:
    head = out.style(f"task {fault.task_id} {TEXT[fault.kind]}", **BAD)
    more = "" if fault.count == 1 else f" ({fault.count:,} tasks of this operator)"
    out.line(f"    {head}: {printable(fault.message)}")
    out.line(f"      {printable(f'operator {fault.operator} {fault.operator_name}')}{more}")


def _hang(out: TextWriter, hang: Hang) -> None:
    head = out.style(f"hangs: {count(hang.num_tasks, 'task')} never run", **BAD)
    out.line(f"    {head}")
    for wait in hang.waits[:MAX_WAITS]:
        where = "" if wait.worker is None else f"worker {wait.worker} is blocked by "
        blockers = "; ".join(f"task {x.task_id} {x.place}" for x in wait.blockers)
        more = wait.num_blockers - len(wait.blockers)
        rest = f" and {more} more" if more > 0 else ""
        text = f", still to come: {blockers}{rest}" if blockers else ", and no task will trigger it"
        out.line(
            f"      {where}task {wait.task_id} of rank {wait.rank}: it waits for event "
            f"{wait.event_index} of rank {wait.event_rank}, which has {wait.num_counted} of "
            f"{wait.num_triggers} triggers{text}"
        )
    left = len(hang.waits) - MAX_WAITS
    if left > 0:
        out.line(f"      and {left} more")
    if hang.cycle:
        out.line(f"      in a circle: {' -> '.join(f'task {task}' for _, task in hang.cycle)}")


def _blame(out: TextWriter, outcome: RunOutcome, blame: Blame) -> None:
    verdict = next(
        (x for x in outcome.wrong if (x.rank, x.name) == (blame.rank, blame.tensor)), None
    )
    rank = f"rank {blame.rank}, " if blame.rank else ""
    head = out.style(f"first wrong: {rank}{printable(blame.tensor)}", **BAD)
    out.line(f"    {head}")
    difference = None if verdict is None else verdict.difference
    rows: list[tuple[str, object]] = []
    if verdict is not None and difference is not None:
        rows += [
            ("wrong", f"{_share(verdict)}: {printable(blame.elements)}"),
            ("error", _errors(verdict)),
            ("first", _first(verdict)),
            (
                "limits",
                (
                    f"rtol {verdict.limits.rtol:.3g}, atol {verdict.limits.atol:.3g} "
                    f"({verdict.limits.reason})"
                ),
            ),
            ("would pass", _needed(verdict)),
        ]
    rows += list(_behind(blame))
    out.fields([(label, value) for label, value in rows if value], indent=6)
    _findings(out, blame.findings)


def _origin(out: TextWriter, began: Origin) -> None:
    rank = f"rank {began.rank}, " if began.rank else ""
    task = f"task {began.task.task_id} ({began.operator_name} {began.task.grid_position})"
    head = out.style(f"began with: {rank}{printable(task)}", **BAD)
    out.line(f"    {head}, number {began.place:,} of this order")
    share = f"{began.num_wrong:,} of {began.num_elements:,} elements"
    if began.is_unwritten:
        wrote = f"{began.tensor}: its operator is done, and no task wrote {share}, which are wrong"
    else:
        wrote = f"{began.tensor}: {share} of its tile are wrong"
    place = f" at {began.site}" if began.site else ""
    rows: list[tuple[str, object]] = [
        ("part of", printable(f"operator {began.operator} {began.operator_name}{place}")),
        ("wrote", printable(wrote)),
    ]
    for read in began.inputs:
        by = f"operator {read.meant_index} {read.meant} should have written"
        last = "nobody has yet"
        if read.found_index is not None and read.found_index != read.meant_index:
            last = f"operator {read.found_index} {read.found} was the last who did"
        elif read.found_index is not None:
            last = "it has written a part, or something else"
        wrong = f"{read.num_wrong:,} of {read.num_elements:,} elements"
        rows.append(("read", printable(f"{read.tensor}: {wrong} are not what {by}; {last}")))
    out.fields(rows, indent=6)


def _behind(blame: Blame) -> Iterator[tuple[str, object]]:
    if blame.operator is None:
        yield "written by", "nobody"
        return
    method = f", {blame.layer_method}" if blame.layer_method else ""
    grid = "x".join(map(str, blame.grid_dim or ()))
    place = f" at {blame.site}" if blame.site else ""
    yield (
        "written by" if blame.num_tasks else "left by",
        printable(f"operator {blame.operator} {blame.operator_name} (grid {grid}{method}){place}"),
    )
    if blame.intended_name is not None:
        yield (
            "meant by",
            printable(f"operator {blame.intended_operator} {blame.intended_name}, to be last"),
        )
    if blame.num_tasks:
        yield "tasks", f"{blame.num_tasks:,} of {blame.num_operator_tasks:,}: {blame.tiles}"
    if blame.tasks:
        shown = ", ".join(f"{x.task_id} {x.grid_position}" for x in blame.tasks[:4])
        yield "such as", shown
    yield (
        "tiles",
        f"slot {blame.slot}, {list(blame.tile_dims or ())} by input_map {blame.input_map}",
    )
    if blame.num_outside_tiles:
        yield "outside", f"{blame.num_outside_tiles:,} wrong elements are in no task's tile"


def _findings(out: TextWriter, findings: Sequence[Finding]) -> None:
    for finding in findings:
        head = f"{finding.severity} {finding.rule.code} {finding.rule.name}"
        out.line(
            f"      {out.style('predicted', fg='cyan')}  {out.style(head, bold=True)}: "
            f"{printable(finding.message)}"
        )
        if finding.remedy:
            out.line(f"                 {printable(finding.remedy)}")


def _tensors(out: TextWriter, outcome: RunOutcome) -> None:
    wrong, right = outcome.wrong, [x for x in outcome.verdicts if x.passes]
    shown = [*wrong[:MAX_WRONG], *right[:MAX_TENSORS]]
    if not shown:
        return
    out.line()
    out.table(
        {
            "": ["WRONG" if not x.passes else "ok" for x in shown],
            "tensor": [_name(x, outcome) for x in shown],
            "type": [x.dtype for x in shown],
            "shape": ["x".join(map(str, x.shape)) for x in shown],
            "max abs": [_number(x.difference.max_abs_error) for x in shown],
            "mean abs": [_number(x.difference.mean_abs_error) for x in shown],
            "max rel": [_number(x.difference.max_rel_error) for x in shown],
            "ulps": [_ulps(x) for x in shown],
            "wrong": [_percent(x) for x in shown],
            "cosine": [
                "" if x.difference.cosine is None else f"{x.difference.cosine:.6f}" for x in shown
            ],
            "nan": [_zero(x.difference.num_nan) for x in shown],
            "unwritten": [_zero(x.difference.num_unwritten) for x in shown],
            "needs": [_needs(x) for x in shown],
        },
        indent=4,
    )
    left = len(outcome.verdicts) - len(shown)
    if left > 0:
        out.line(f"    and {left} more")


def _name(verdict: TensorVerdict, outcome: RunOutcome) -> str:
    several = any(x.rank != outcome.verdicts[0].rank for x in outcome.verdicts)
    return f"{verdict.name} (rank {verdict.rank})" if several else verdict.name


def _unchecked(out: TextWriter, unchecked: Sequence[Unchecked]) -> None:
    reasons: dict[str, list[str]] = {}
    for x in unchecked:
        reasons.setdefault(x.reason, []).append(x.name)
    for reason, names in reasons.items():
        shown = ", ".join(dict.fromkeys(names[:6])) + (", ..." if len(names) > 6 else "")
        out.line(f"    not checked: {printable(shown)}: {printable(reason)}")


def _skipped(out: TextWriter, skipped: Sequence[Skipped]) -> None:
    if not skipped:
        return
    causes = [x for x in skipped if not x.reason.startswith("reads")]
    out.line()
    types = sorted({x.task_type for x in causes})
    tasks = sum(x.num_tasks for x in skipped)
    out.line(
        f"  {out.style('not executed', fg='yellow')}  {count(tasks, 'task')} of "
        f"{count(len(skipped), 'operator')}: {', '.join(map(printable, types))}, and what hangs on "
        "them"
    )
    for x in causes[:MAX_WRONG]:
        out.line(f"    operator {x.operator} {printable(x.operator_name)}: {printable(x.reason)}")


def _replayed(out: TextWriter, replayed: Replayed) -> None:
    out.line()
    finding = replayed.finding
    verdict = "shown" if replayed.is_shown else "not shown"
    head = out.style(f"{verdict}  {finding.rule.code} {finding.rule.name}", bold=True)
    where = f"operator {finding.location.operator} {finding.location.operator_name or ''}"
    out.line(f"  {head}  {printable(where.rstrip())}, after {count(replayed.num_tried, 'order')}")
    out.line(f"    {printable(finding.message)}")
    if replayed.outcome is not None:
        _outcome(out, replayed.outcome)


def _share(verdict: TensorVerdict) -> str:
    difference = verdict.difference
    parts = [
        (
            f"{difference.num_mismatches:,} of {difference.num_elements:,} elements "
            f"({difference.fraction:.2%})"
        )
    ]
    if difference.num_unwritten:
        parts.append(f"{difference.num_unwritten:,} never written")
    return ", ".join(parts)


def _errors(verdict: TensorVerdict) -> str:
    x = verdict.difference
    parts = [
        f"max abs {_number(x.max_abs_error)}",
        f"mean abs {_number(x.mean_abs_error)}",
        f"max rel {_number(x.max_rel_error)}",
    ]
    if x.max_ulps:
        parts.append(f"{x.max_ulps:,} ulps")
    if x.num_nan or x.num_inf:
        parts.append(f"{x.num_nan:,} NaN, {x.num_inf:,} infinite")
    if x.cosine is not None:
        parts.append(f"cosine {x.cosine:.4f}")
    return ", ".join(parts)


def _first(verdict: TensorVerdict) -> str:
    x = verdict.difference
    if x.first is None or x.first_values is None:
        return ""
    value, right = x.first_values
    return f"{list(x.first)} is {value:.6g}, should be {right:.6g}"


def _needed(verdict: TensorVerdict) -> str:
    x = verdict.difference
    parts = []
    if x.needed_rtol is not None:
        parts.append(f"with rtol {x.needed_rtol:.3g}")
    if x.needed_atol is not None:
        parts.append(f"with atol {x.needed_atol:.3g}")
    return " or ".join(parts) or "with no tolerance"


def _needs(verdict: TensorVerdict) -> str:
    """The smallest relative tolerance that would pass, with this absolute one."""
    needed = verdict.difference.needed_rtol
    return "-" if needed is None else f"rtol {needed:.2g}" if needed else "0"


def _ulps(verdict: TensorVerdict) -> str:
    ulps = verdict.difference.max_ulps
    return "" if ulps is None else f"{ulps:,}"


def _percent(verdict: TensorVerdict) -> str:
    return f"{verdict.difference.fraction:.2%}" if verdict.difference.num_mismatches else "0"


def _zero(number: int) -> str:
    return f"{number:,}"


def _number(value: float) -> str:
    return "0" if value == 0 else f"{value:.3g}"
