"""Reports of `mpkgraph verify` made by hand: an ordinary one, and one with hostile names."""

from __future__ import annotations

from dataclasses import replace

from mpkgraph.analysis.verify.finding import Finding, Location, TaskRef
from mpkgraph.analysis.verify.report import CheckedPipeline, CheckedRank, VerifyReport
from mpkgraph.analysis.verify.rule import Rule
from mpkgraph.analysis.verify.run import VerifyResult
from mpkgraph.model.record import CallSite

CUT = Rule(
    code="MPK199",
    name="cut-short",
    severity="error",
    summary="A grid does not divide",
    why="The rest is never written",
    remedy="Choose a grid that divides",
)
LATE = Rule(
    code="MPK299",
    name="late-read",
    severity="warning",
    summary="A read may come late",
    why="Nothing orders it.",
    remedy="Order it.",
    needs_record=True,
)
SMALL = Rule(
    code="MPK599",
    name="small-tasks",
    severity="advice",
    summary="Tasks are tiny",
    why="A task costs time to start",
    remedy="Make tiles larger",
    is_default=False,
)
UNASKED = Rule(
    code="MPK699",
    name="ranks-differ",
    severity="error",
    summary="Ranks differ",
    why="They wait for each other",
    remedy="Make them alike",
    needs_record=True,
)
RULES = (CUT, LATE, SMALL)

HOSTILE = "w\x1b[31m\n::error::x%0A]]><script>alert(1)</script>,'\"&\x00\u202e\ud800\U0001f600"
"""Moves a cursor, ends a line, a CDATA section and a property; is no XML, and partly no UTF-8."""
HOSTILE_FILE = "a dir/100%,\n]]><b>:x.py"

CUT_FINDING = Finding(
    rule=CUT,
    message="linear writes 'out' without the last 16 of dim 1: 60 blocks do not divide 4096",
    location=Location(
        rank=0,
        operator=3,
        operator_name="linear_hopper",
        slot=2,
        tensor="out",
        elements=((0, 8), (4080, 4096)),
        byte_range=(8160, 8192),
        record_path="log[4].lowlevel[0]",
        site=CallSite("model.py", 31),
    ),
    remedy="Set axis x to 32 or 64",
    witness=(TaskRef(61, 3, "linear_hopper", (59, 0, 0)),),
    count=60,
    num_operators=28,
    key=("linear", 2),
)
LATE_FINDING = Finding(
    rule=LATE,
    message="silu_mul may read 'out' before linear writes it",
    location=Location(rank=0, operator=4, operator_name="silu_mul", tensor="out", event=7),
    remedy="Put the input that is read most widely first",
    witness=(TaskRef(61, 3, "linear_hopper", (59, 0, 0)), TaskRef(70)),
    count=12,
    count_of="task pairs",
)
SMALL_FINDING = Finding(
    rule=SMALL,
    message="tasks of 16 bytes",
    location=Location(rank=1, operator=3, operator_name="linear_hopper"),
    remedy="Use fewer blocks",
)
WHOLE_FINDING = Finding(
    rule=CUT,
    message="the graph has no end",
    location=Location(rank=0),
    remedy="Add a layer.",
    severity_here="warning",
)
FINDINGS = (CUT_FINDING, LATE_FINDING, WHOLE_FINDING, SMALL_FINDING)


def rank(number=0, *, file="out/task_graph_rank0.json", has_record=True):
    return CheckedRank(number, file, None, has_record, num_tasks=364, num_operators=35)


def pipeline(findings=FINDINGS, *, name="out", site=None, ranks=None, rules=RULES, skipped=()):
    result = VerifyResult(
        tuple(findings),
        rules,
        tuple(skipped),
        suppressed={"comment": 1, "baseline": 3} if findings else {},
        unfolded=tuple(findings),
    )
    ranks = ranks or (rank(), rank(1, file="out/task_graph_rank1.json"))
    return CheckedPipeline(name, site, ranks, result)


def report(**changes):
    """Two ranks, findings of every severity, a skipped rule, a baseline that is out of date."""
    skipped = ((UNASKED, "it needs the pipeline record"),)
    made = VerifyReport((pipeline(skipped=skipped),), stale=2, notes=("the script went on",))
    return replace(made, **changes)


def clean():
    return VerifyReport((pipeline(()),))


def hostile():
    """All that comes from a user's files is hostile."""
    finding = replace(
        CUT_FINDING,
        message=f"writes '{HOSTILE}'",
        location=replace(
            CUT_FINDING.location,
            operator_name=HOSTILE,
            tensor=HOSTILE,
            site=CallSite(HOSTILE_FILE, 5),
        ),
        remedy=f"Rename {HOSTILE}",
        witness=(TaskRef(61, 3, HOSTILE, (0, 0, 0)),),
        count_of=HOSTILE,
    )
    unplaced = replace(LATE_FINDING, message=HOSTILE)
    ranks = (rank(file=f"{HOSTILE_FILE}.json"),)
    made = pipeline((finding, unplaced), name=HOSTILE, ranks=ranks)
    return VerifyReport((made,), notes=(HOSTILE,))


def many(number):
    """So many findings that differ."""
    findings = (
        replace(WHOLE_FINDING, location=Location(rank=0, operator=i, operator_name=f"op{i}"))
        for i in range(number)
    )
    return VerifyReport((pipeline(findings),))
