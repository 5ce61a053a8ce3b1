"""A run of `mpkgraph verify --run` as overlays: which tasks are wrong, how far off, where.

They are made from the run's JSON form (schema `mpkgraph-run/1`), so that a run of yesterday, of
another machine or of a GPU comes to the page as well as one that has just ended.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from mpkgraph.analysis.page.overlay import Category, Overlay, OverlayItem, texts
from mpkgraph.errors import GraphReadError, SelectionError
from mpkgraph.model.operator import OperatorSet

RUN_SCHEMA: Final = "mpkgraph-run/1"
CATEGORIES: Final = (
    Category("NaN, infinite or not written", "broken"),
    Category("wrong, or a fault", "error"),
    Category("right; other elements of its tensor have no task", "changed"),
    Category("waits for ever", "warning"),
    Category("not executed", "same"),
    Category("right", "good"),
)
BROKEN, WRONG, BESIDE, WAITS, SKIPPED, RIGHT = range(len(CATEGORIES))
MAX_ITEMS = 400
"""Wrong tensors, faults and waits that are listed, the first ones."""


def run_overlays(
    document: Any,
    operators: OperatorSet,
    rank: int,
    graph_sha256: str | None = None,
    where: str = "run",
) -> tuple[Overlay, ...]:
    """`run` (categories), `error` and `wrong` (values) of one rank's tasks.

    Of several orders the first that went wrong is shown, else the last one. `graph_sha256` is that
    of the graph's text, to find its pipeline among several. Raises GraphReadError for a document
    that is no run, SelectionError for a run of another graph.
    """
    if not is_run(document):
        raise GraphReadError(f"is no run: its schema is not {RUN_SCHEMA!r}", where=where)
    try:
        pipeline = _pipeline(document, rank, graph_sha256, where)
        return _RunView(pipeline, operators, rank).overlays()
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise GraphReadError(
            f"is no run: {type(error).__name__} at {error}",
            where=where,
            remedy="Write it with mpkgraph verify --run --json",
        ) from error


def is_run(document: Any) -> bool:
    """Whether a JSON document says that it is a run."""
    return isinstance(document, dict) and document.get("schema") == RUN_SCHEMA


def _pipeline(
    document: dict[str, Any], rank: int, graph_sha256: str | None, where: str
) -> dict[str, Any]:
    """The pipeline that ran this graph."""
    pipelines: list[dict[str, Any]] = document.get("pipelines", [document])
    of_rank = [x for x in pipelines if str(rank) in x["graphs"]]
    if not of_rank:
        known = sorted({int(x) for y in pipelines for x in y["graphs"]})
        raise SelectionError(
            f"the run is of rank {', '.join(map(str, known)) or 'none'}, the graph of rank {rank}",
            where=where,
            remedy="Choose the graph with --rank",
        )
    if graph_sha256 is None:
        return of_rank[0]
    for pipeline in of_rank:
        if pipeline["graphs"][str(rank)] == graph_sha256:
            return pipeline
    raise SelectionError(
        "the run was of another graph", where=where, remedy="Name the graph that was run"
    )


def shown_run(pipeline: dict[str, Any]) -> dict[str, Any] | None:
    """The first run of a pipeline that went wrong, replays included, else the last one."""
    runs = [*pipeline["runs"], *(x["run"] for x in pipeline["replays"] if x["run"] is not None)]
    return next((x for x in runs if not x["passes"]), runs[-1] if runs else None)


@dataclass
class _RunView:
    """One run on one rank's graph."""

    pipeline: dict[str, Any]
    operators: OperatorSet
    rank: int

    def __post_init__(self) -> None:
        count = self.operators.num_tasks
        self.codes = np.full(count, -1, dtype=np.int64)
        self.error = np.full(count, np.nan)
        self.num_wrong = np.zeros(count)
        self.num_elements = np.zeros(count)
        self.told: dict[int, list[str]] = {}
        self.items: list[OverlayItem] = []

    def overlays(self) -> tuple[Overlay, ...]:
        run = shown_run(self.pipeline)
        if run is not None:
            self._right(run)
            self._wrong(run)
            self._faults(run)
            self._hang(run)
        self._skipped()
        labels: list[str | None] = [None] * self.operators.num_tasks
        for task, words in self.told.items():
            labels[task] = "; ".join(words)
        table, label_codes = texts(labels)
        shared: dict[str, Any] = {
            "labels": table,
            "label_codes": label_codes,
            "rank": self.rank,
        }
        description = self._description(run)
        used = sorted(
            {*self.codes[self.codes >= 0].tolist(), *(x.category or 0 for x in self.items)}
        )
        place = np.full(len(CATEGORIES) + 1, -1, dtype=np.int64)  # the last one: no category
        place[used] = np.arange(len(used))
        share = np.full(len(self.codes), np.nan)
        has = self.num_elements > 0
        share[has] = 100 * self.num_wrong[has] / self.num_elements[has]
        return (
            Overlay(
                "run",
                "What a run came to",
                description,
                codes=place[self.codes],
                categories=tuple(CATEGORIES[x] for x in used),
                items=tuple(
                    dataclasses.replace(x, category=int(place[x.category or 0]))
                    for x in self.items[:MAX_ITEMS]
                ),
                **shared,
            ),
            Overlay(
                "error",
                "Largest error",
                "absolute, of the elements that a task wrote last",
                values=self.error,
                scale="log",
                **shared,
            ),
            Overlay(
                "wrong",
                "Wrong elements",
                "of those that a task wrote last",
                values=share,
                unit="%",
                **shared,
            ),
        )

    def _description(self, run: dict[str, Any] | None) -> str:
        against = f"against {self.pipeline['against']}; inputs: {self.pipeline['inputs']}"
        if run is None:
            return f"nothing ran; {against}"
        tensors = run["tensors"]
        wrong = sum(not x["passes"] for x in tensors)
        verdict = f"{wrong} of {len(tensors)} tensors are wrong" if tensors else "nothing compared"
        stands = "" if run["hang"] is None else "; it stands still"
        return f"order {run['schedule']}: {verdict}{stands}; {against}"

    def _right(self, run: dict[str, Any]) -> None:
        """Tasks of operators of whose tensors none is wrong."""
        mine = [x for x in run["tensors"] if x["rank"] == self.rank and x["operator"] is not None]
        for tensor in mine:
            if tensor["passes"]:
                self._mark(self._tasks_of(int(tensor["operator"])), RIGHT)
        for tensor in mine:
            if not tensor["passes"]:
                self.codes[self._tasks_of(int(tensor["operator"]))] = -1

    def _wrong(self, run: dict[str, Any]) -> None:
        verdicts = {x["name"]: x for x in run["tensors"] if x["rank"] == self.rank}
        mapped = set()
        for row in run.get("task_errors", []):
            if row["rank"] != self.rank:
                continue
            mapped.add(row["tensor"])
            self._tensor(row, verdicts[row["tensor"]], run["blame"])
        for name, verdict in verdicts.items():
            if not verdict["passes"] and name not in mapped:
                none = {"tensor": name, "is_mapped": False, "num_outside": 0}
                columns = ("tasks", "max_abs_error", "num_wrong", "num_elements")
                lists: dict[str, list[Any]] = {x: [] for x in columns}
                self._tensor({**none, **lists}, verdict, run["blame"])

    def _tensor(
        self, row: dict[str, Any], verdict: dict[str, Any], blame: dict[str, Any] | None
    ) -> None:
        tasks = self._checked(row["tasks"])
        errors = np.array([float(x) for x in row["max_abs_error"]])
        wrong = np.array(row["num_wrong"], dtype=np.float64)
        elements = np.array(row["num_elements"], dtype=np.float64)
        if not len(tasks) == len(errors) == len(wrong) == len(elements):
            raise ValueError(f"task_errors of {row['tensor']}: columns of other lengths")
        operator = verdict["operator"]
        if operator is not None and not row["is_mapped"]:
            self._mark(self._tasks_of(int(operator)), WRONG)
        elif operator is not None and row["num_outside"]:
            self._mark(self._tasks_of(int(operator)), BESIDE)
        finite = np.isfinite(errors)
        self._mark(tasks[finite], WRONG)
        self._mark(tasks[~finite], BROKEN)
        self.error[tasks[finite]] = np.fmax(self.error[tasks[finite]], errors[finite])
        self.num_wrong[tasks] += wrong
        self.num_elements[tasks] += elements
        name = row["tensor"]
        for task, error, bad, whole in zip(
            tasks.tolist(), errors.tolist(), wrong.tolist(), elements.tolist(), strict=True
        ):
            said = f"error {error:.3g}" if np.isfinite(error) else "NaN, infinite or not written"
            self._say(task, f"{name}: {said}, {int(bad):,} of {int(whole):,} elements wrong")
        self._item(row, verdict, blame if blame and _is_of(blame, verdict) else None)

    def _item(
        self, row: dict[str, Any], verdict: dict[str, Any], blame: dict[str, Any] | None
    ) -> None:
        bad, whole = verdict["num_mismatches"], verdict["num_elements"]
        lines = [
            ", ".join(
                (
                    f"{bad:,} of {whole:,} elements",
                    f"largest error {float(verdict['max_abs_error']):.3g}",
                    f"{verdict['num_nan']:,} NaN",
                    f"{verdict['num_unwritten']:,} not written",
                )
            )
        ]
        operators = [verdict["operator"]]
        if blame is not None:
            lines.append(f"wrong: {blame['elements']}")
            if blame["num_tasks"]:
                lines.append(f"tasks: {blame['tiles']}")
            lines += [f"{x['code']} {x['message']}" for x in blame["findings"]]
            if blame["site"] is not None:
                lines.append(blame["site"])
            operators.insert(0, blame["operator"])
        if row["num_outside"]:
            lines.append(f"{row['num_outside']:,} wrong elements are in no task's tile")
        if not row["is_mapped"]:
            lines.append("which tasks wrote them is not told")
        code = (
            WRONG if bool(np.isfinite([float(x) for x in row["max_abs_error"]]).any()) else BROKEN
        )
        first = "first wrong: " if blame is not None else "wrong: "
        self.items.append(
            OverlayItem(
                title=f"{first}{row['tensor']}"
                + (f" · {verdict['operator_name']}" if verdict["operator_name"] else ""),
                text="\n".join(lines),
                category=code,
                tasks=tuple(row["tasks"]),
                operators=tuple(dict.fromkeys(int(x) for x in operators if x is not None)),
                tensors=(row["tensor"],),
            )
        )

    def _faults(self, run: dict[str, Any]) -> None:
        for fault in run["faults"]:
            if fault["rank"] != self.rank:
                continue
            task = int(fault["task_id"])
            self._mark(self._checked([task]), WRONG)
            self._say(task, f"{fault['kind']}: {fault['message']}")
            many = f", as do {fault['count'] - 1} other tasks" if fault["count"] > 1 else ""
            self.items.append(
                OverlayItem(
                    title=f"{fault['kind']}: task {task} · {fault['operator_name']}",
                    text=f"{fault['message']}{many}",
                    category=WRONG,
                    tasks=(task,),
                    operators=(int(fault["operator"]),),
                    tensors=() if fault["tensor"] is None else (fault["tensor"],),
                )
            )

    def _hang(self, run: dict[str, Any]) -> None:
        hang = run["hang"]
        if hang is None:
            return
        for wait in hang["waits"]:
            if wait["rank"] != self.rank:
                continue
            task, event = int(wait["task_id"]), int(wait["event_index"])
            self._mark(self._checked([task]), WAITS)
            said = f"waits for event {event}, {wait['num_counted']} of {wait['num_triggers']} came"
            self._say(task, said)
            places = [f"task {x['task_id']}: {x['place']}" for x in wait["blockers"]]
            here = [int(x["task_id"]) for x in wait["blockers"] if x["rank"] == self.rank]
            self.items.append(
                OverlayItem(
                    title=f"task {task} {said}",
                    text="\n".join([f"{hang['num_tasks']:,} tasks never run", *places]),
                    category=WAITS,
                    tasks=(task, *here),
                    events=(event,) if wait["event_rank"] == self.rank else (),
                )
            )

    def _skipped(self) -> None:
        for row in self.pipeline["unexecuted"]:
            if row["rank"] != self.rank:
                continue
            operator = int(row["operator"])
            self._mark(self._tasks_of(operator), SKIPPED)
            self.items.append(
                OverlayItem(
                    title=f"not executed: {row['operator_name']}",
                    text=str(row["reason"]),
                    category=SKIPPED,
                    operators=(operator,),
                )
            )

    def _mark(self, tasks: Any, code: int) -> None:
        """The gravest stays."""
        known = self.codes[tasks]
        self.codes[tasks] = np.where((known < 0) | (known > code), code, known)

    def _say(self, task: int, words: str) -> None:
        self.told.setdefault(task, []).append(words)

    def _checked(self, tasks: Iterable[int]) -> Any:
        ids = np.array(list(tasks), dtype=np.int64)
        if len(ids) and not 0 <= int(ids.min()) <= int(ids.max()) < len(self.codes):
            raise ValueError(f"task {int(ids.max())}: the graph has {len(self.codes)} tasks")
        return ids

    def _tasks_of(self, operator: int) -> Any:
        if not 0 <= operator < len(self.operators):
            raise ValueError(f"operator {operator}: the graph has {len(self.operators)}")
        return self.operators[operator].task_ids


def _is_of(blame: dict[str, Any], verdict: dict[str, Any]) -> bool:
    return bool(blame["tensor"] == verdict["name"] and blame["rank"] == verdict["rank"])


def worst_ranks(pipeline: dict[str, Any]) -> Iterator[int]:
    """Ranks that a run concerns: the blamed tensor's first, then those of faults and waits."""
    run = shown_run(pipeline)
    if run is None:
        return
    if run["blame"] is not None:
        yield int(run["blame"]["rank"])
    yield from (int(x["rank"]) for x in run["faults"])
    if run["hang"] is not None:
        yield from (int(x["rank"]) for x in run["hang"]["waits"])
