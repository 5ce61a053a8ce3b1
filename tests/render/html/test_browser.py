"""The page in a real browser: what a person does with it, and what it shows then."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.page import Category, Overlay, OverlayItem, findings_overlay
from mpkgraph.analysis.task_detail import task_detail
from mpkgraph.analysis.verify.run import VerifyResult
from mpkgraph.model.ids import EVENT_INVALID_ID
from mpkgraph.views.operators import recover_operators
from tests import goldens, strategies
from tests.cli.conftest import EXAMPLE
from tests.render.html.hostile import NAMES, hostile_graph

STATE = """({
  selection: mpkgraph.state.selection, view: mpkgraph.view.name, tiles: mpkgraph.state.operator,
  order: mpkgraph.state.order, colour: mpkgraph.colouring.name, scale: mpkgraph.camera.scale,
  folded: [...mpkgraph.scene.foldedBlocks], runs: [...mpkgraph.scene.foldedRuns],
  filtered: mpkgraph.filters.isActive,
})"""


def state(page):
    return page.evaluate(STATE)


def place(page, expression):
    """The middle of a rectangle of the world, in the window."""
    return page.evaluate(
        f"(() => {{ const r = {expression}; const a = mpkgraph.camera.toScreen("
        "r.x + r.width / 2, r.y + r.height / 2); const b = mpkgraph.canvas.getBoundingClientRect();"
        " return [a[0] + b.left, a[1] + b.top]; })()"
    )


def pixel(page, expression):
    """The colour of the canvas in the upper left of a rectangle of the world (lines go through the
    middle).
    """
    return page.evaluate(
        f"(() => {{ const r = {expression}; const [x, y] = mpkgraph.camera.toScreen("
        "r.x + r.width / 5, r.y + r.height / 5); const copy = document.createElement('canvas');"
        " copy.width = copy.height = 1; const context = copy.getContext('2d');"
        " context.drawImage(mpkgraph.canvas, -Math.round(x), -Math.round(y));"
        " return [...context.getImageData(0, 0, 1, 1).data]; })()"
    )


def test_opens_with_all_operators_drawn(example, example_graph):
    assert example.evaluate("document.title") == "decoder/task_graph_rank0.json - mpkgraph"
    assert example.evaluate("mpkgraph.graph.numOperators") == 35
    assert "364" in example.text("#details")
    for k in (0, 5, 34):
        assert example.evaluate(f"mpkgraph.scene.isVisible({k})")
    colours = {
        tuple(pixel(example, f"{{...mpkgraph.map.operatorRect({k}), width: 10}}"))
        for k in range(35)
    }
    assert len(colours) > 1


def test_a_card_is_clicked_and_told(example):
    example.click(*place(example, "{...mpkgraph.map.operatorRect(5), height: 20}"))
    assert state(example)["selection"] == {"kind": "operator", "id": 5}
    assert example.text("#details h2").startswith("operator 5 ")
    assert "#operator=5" in example.evaluate("location.hash")


def test_a_task_is_clicked_and_all_of_it_is_told(example, example_graph):
    context = GraphContext(example_graph, recover_operators(example_graph))
    task = int(context.operators[2].task_ids[3])
    example.evaluate("mpkgraph.go({kind: 'operator', id: 2})")
    example.settle()
    example.click(*place(example, f"mpkgraph.map.cellRect(mpkgraph.graph.rows[{task}])"))
    assert state(example)["selection"] == {"kind": "task", "id": task}
    text = example.text("#details")
    detail = task_detail(context, task)
    assert detail.task_type_name in text
    for slot in detail.slots:
        ranges = ", ".join(f"{a}:{b}" for a, b in zip(slot.starts, slot.stops, strict=True))
        assert slot.tensor in text
        assert f"[{ranges}]" in text
        assert f"offset {slot.offset} B" in text
    assert str(detail.dependent_event) in text
    assert str(detail.trigger_event) in text
    for field in detail.metadata:
        assert str(field.value) in text


def test_wheel_zooms_where_the_pointer_is_and_drag_moves(example):
    x, y = place(example, "mpkgraph.map.operatorRect(3)")
    before = state(example)["scale"]
    example.wheel(x, y, -240)
    assert state(example)["scale"] > before * 1.3
    after = place(example, "mpkgraph.map.operatorRect(3)")
    assert after == pytest.approx([x, y], abs=1)
    example.drag(x, y, x + 90, y + 40)
    assert place(example, "mpkgraph.map.operatorRect(3)") == pytest.approx([x + 90, y + 40], abs=1)
    assert state(example)["selection"] is None


@pytest.mark.parametrize(
    ("query", "kind", "number"),
    [
        ("41", "task", 41),
        ("task 41", "task", 41),
        ("e12", "event", 12),
        ("op 7", "operator", 7),
        ("layer_1_qkv", "tensor", None),
        ("paged_att", "operator", None),
    ],
)
def test_search_leads_there(example, query, kind, number):
    example.press("/")
    example.type(query)
    example.until("!document.getElementById('results').hidden")
    if query == "paged_att":
        example.press("ArrowDown")
    example.press("Enter")
    found = state(example)["selection"]
    assert found["kind"] == kind
    if number is not None:
        assert found["id"] == number
    if kind == "tensor":
        name = example.evaluate(f"mpkgraph.graph.header.tensors[{found['id']}]")
        assert query in name
        assert name in example.text("#details")
    if query == "paged_att":
        assert "paged_attention" in example.text("#details h2")


def test_search_for_a_type_filters_and_for_a_64_bit_id_decodes(example):
    example.press("/")
    example.type("TASK_SILU")
    example.press("Enter")
    assert state(example)["filtered"]
    mask = example.evaluate("mpkgraph.filters.count")
    assert 0 < mask < 364
    example.press("x")
    assert not state(example)["filtered"]
    example.press("/")
    example.type("2161727825432805388")  # 0x1e0000010000000c
    example.press("Enter")
    assert state(example)["selection"] == {"kind": "event", "id": 12}


def test_nothing_found_says_so(example):
    example.press("/")
    example.type("no such thing")
    assert "nothing of that name" in example.text("#results")


def test_folding_keeps_the_frame_and_hides_its_cards(example):
    layer = example.evaluate("mpkgraph.scene.blocks.findIndex((b) => b.layer === 0)")
    item = f"mpkgraph.scene.itemOf.get({layer})"
    inside = example.evaluate(f"mpkgraph.scene.members[{layer}][0]")
    at = place(example, f"{{...{item}, height: 28}}")
    example.click(*at)
    assert state(example)["folded"] == [layer]
    assert not example.evaluate(f"mpkgraph.scene.isVisible({inside})")
    # it stays under the pointer, so that a second click unfolds it
    example.click(*at)
    assert state(example)["folded"] == []
    example.press("F")
    assert state(example)["runs"] != []
    assert "1 more like layer 0" in example.evaluate(
        "mpkgraph.scene.title([...mpkgraph.scene.stubOf.values()][0])"
    )
    hidden = example.evaluate(
        "mpkgraph.graph.operators.findIndex((o, k) => !mpkgraph.scene.isVisible(k))"
    )
    example.evaluate(f"mpkgraph.go({{kind: 'operator', id: {hidden}}})")
    assert example.evaluate(f"mpkgraph.scene.isVisible({hidden})")


def test_double_click_opens_tiles_and_escape_leads_back(example):
    example.click(*place(example, "{...mpkgraph.map.operatorRect(5), height: 20}"), count=2)
    assert state(example)["view"] == "tiles"
    assert state(example)["tiles"] == 5
    assert "#tiles=5" in example.evaluate("location.hash")
    example.press("Escape")
    assert state(example)["view"] == "map"
    example.press("Escape")
    assert state(example)["selection"] is None


def test_back_and_forward_restore_what_was_seen(example):
    example.evaluate("mpkgraph.go({kind: 'operator', id: 4})")
    example.evaluate("mpkgraph.go({kind: 'task', id: 50})")
    example.evaluate("mpkgraph.openTiles(6)")
    seen = [
        ("map", {"kind": "task", "id": 50}),
        ("map", {"kind": "operator", "id": 4}),
        ("map", None),
    ]
    for view, selection in seen:
        before = example.evaluate("location.hash")
        example.click_element("#back")
        example.until(f"location.hash !== {json.dumps(before)}")
        example.settle()
        assert (state(example)["view"], state(example)["selection"]) == (view, selection)
    for _ in range(3):
        before = example.evaluate("location.hash")
        example.click_element("#forward")
        example.until(f"location.hash !== {json.dumps(before)}")
        example.settle()
    assert (state(example)["view"], state(example)["tiles"]) == ("tiles", 6)


def test_a_link_leads_to_the_same_place(example, open_page, example_graph):
    example.evaluate(
        "(mpkgraph.setColouring('level'), mpkgraph.go({kind: 'task', id: 77}),"
        " mpkgraph.toggleOrder(), mpkgraph.filters.kinds.add('linear'), mpkgraph.filters.apply())"
    )
    example.evaluate("mpkgraph.zoom(1.7)")
    example.settle()
    example.evaluate("new Promise((resolve) => setTimeout(resolve, 500))")
    anchor = example.evaluate("location.hash")
    other = open_page(example_graph, anchor=anchor)
    other.settle()
    ours, theirs = state(example), state(other)
    assert theirs.pop("scale") == pytest.approx(ours.pop("scale"), rel=1e-3)
    assert ours == theirs
    assert theirs["selection"] == {"kind": "task", "id": 77}
    assert theirs["order"]
    assert other.evaluate("[...mpkgraph.filters.kinds]") == ["linear"]


@pytest.mark.parametrize(
    "anchor",
    [
        "#task=99999999",
        "#task=-1&operator=x",
        "#tiles=99&event=",
        "#at=NaN,1,2&fold=77,x:99&colour=__proto__",
        "#tensor=%E0%A4%A&kinds=constructor&layers=((&low=x",
        "#%&&==&&at=1,2,1e9",
    ],
)
def test_a_broken_link_shows_the_map(open_page, example_graph, anchor):
    page = open_page(example_graph, anchor=anchor)
    page.settle()
    assert state(page)["view"] == "map"
    assert state(page)["selection"] is None
    assert page.evaluate("mpkgraph.frames > 0")


def test_a_short_link_selects_and_moves_there(open_page, example_graph):
    page = open_page(example_graph, anchor="#task=300")
    page.settle()
    x, y = place(page, "mpkgraph.map.cellRect(mpkgraph.graph.rows[300])")
    left, top, right, bottom = page.evaluate(
        "(() => { const b = mpkgraph.canvas.getBoundingClientRect();"
        " return [b.left, b.top, b.right, b.bottom]; })()"
    )
    assert left < x < right
    assert top < y < bottom


def test_order_is_that_of_the_event_graph(open_page, tmp_path):
    """Against networkx: all that comes before and after, by other means than ours."""
    import networkx as nx

    # one rank alone: events of others are other nodes there, and mirrored ones here
    document = json.loads((EXAMPLE / "task_graph_rank0.json").read_text())
    for task in document["all_tasks"]:
        for key in ("trigger_event", "dependent_event"):
            if task[key] != EVENT_INVALID_ID:
                task[key] &= 0xFFFFFFFF
    path = tmp_path / "task_graph_rank0.json"
    path.write_text(json.dumps(document))
    graph = mpkgraph.read(path)
    page = open_page(graph)
    network = mpkgraph.to_networkx(graph)
    tasks = set(range(graph.num_tasks))
    for task in (2, 41, 150, 363):
        page.evaluate(f"(mpkgraph.state.order = true, mpkgraph.go({{kind: 'task', id: {task}}}))")
        page.settle()
        relation = page.evaluate(
            "[...mpkgraph.graph.taskIds].map((id, r) => [id, mpkgraph.closure.relation[r]])"
        )
        before, after = nx.ancestors(network, task) & tasks, nx.descendants(network, task) & tasks
        assert before or after
        assert {t for t, r in relation if r in {1, 2}} == before
        assert {t for t, r in relation if r in {3, 4}} == after
        assert [t for t, r in relation if r == 5] == [task]


def test_arrows_walk_the_grid_and_brackets_the_operators(example):
    example.evaluate("mpkgraph.go({kind: 'operator', id: 2})")
    example.press("]")
    assert state(example)["selection"] == {"kind": "operator", "id": 3}
    example.press("[")
    example.press("ArrowDown")
    first = state(example)["selection"]
    assert first["kind"] == "task"
    example.press("ArrowRight")
    second = state(example)["selection"]
    cells = [
        example.evaluate(f"mpkgraph.graph.columns.cell[mpkgraph.graph.rows[{x['id']}]]")
        for x in (first, second)
    ]
    assert cells == [0, 1]
    example.press("Enter")
    assert state(example)["view"] == "tiles"


def test_help_lists_every_key_and_closes(example):
    example.press("?")
    assert example.evaluate("document.getElementById('help').open")
    text = example.text("#help")
    for words in ("search", "zoom", "light up", "fold", "back, forward"):
        assert words in text
    example.press("Escape")
    assert not example.evaluate("document.getElementById('help').open")
    assert state(example)["view"] == "map"


def test_filters_fade_and_count(example):
    example.click_element("#tab-filters")
    linear = example.evaluate(
        "(() => { const box = [...document.querySelectorAll('#filters label')].find((l) =>"
        " l.textContent.trim().startsWith('linear')); box.querySelector('input').click();"
        " return Number(box.querySelector('.dim').textContent.replace(/\\D/g, '')); })()"
    )
    example.settle()
    assert example.evaluate("mpkgraph.filters.count") == linear
    assert f"{linear} of 364 tasks" in example.text("#filters")
    lit, faded = example.evaluate(
        "(() => { const lit = (k) => mpkgraph.painter.isLit(k);"
        " const all = mpkgraph.graph.operators;"
        " const kind = (o) => mpkgraph.graph.typeKind(o.type);"
        " return [all.every((o, k) => kind(o) !== 'linear' || lit(k)),"
        " all.every((o, k) => kind(o) === 'linear' || !lit(k))]; })()"
    )
    assert lit
    assert faded
    example.click_element("#clear-filter")
    assert not state(example)["filtered"]


def test_dark_and_light_follow_the_system_and_the_button(open_page, example_graph):
    page = open_page(example_graph, dark=True)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    dark = page.evaluate("mpkgraph.painter.theme.back")
    page.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("mpkgraph.painter.theme.back") != dark
    page.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.press("t")
    assert page.evaluate("mpkgraph.theme") == "auto"


def test_prints_light_with_the_details(open_page, example_graph):
    page = open_page(example_graph, dark=True)
    page.evaluate("mpkgraph.go({kind: 'operator', id: 3})")
    page.settle()
    assert page.pdf().startswith(b"%PDF")
    page.settle()
    # and is dark again
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.set_up(media="print")
    assert page.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.evaluate("getComputedStyle(document.querySelector('aside')).display") != "none"


def test_every_control_has_a_name_and_can_be_reached_by_keyboard(example):
    unnamed = example.evaluate(
        "[...document.querySelectorAll('button, input, select, canvas, [role]')].filter((e) =>"
        " e.getClientRects().length && !(e.getAttribute('aria-label') || e.textContent.trim() ||"
        " e.getAttribute('aria-labelledby') || e.closest('label') || e.title ||"
        " e.getAttribute('role') === 'status')).map((e) => e.outerHTML)"
    )
    assert unnamed == []
    seen = set()
    for _ in range(80):
        example.press("Tab")
        seen.add(example.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"search", "colour", "canvas", "fit", "theme", "details", "tab-outline"} <= seen


def test_a_selection_is_said_to_who_cannot_see_it(example):
    example.evaluate("mpkgraph.go({kind: 'operator', id: 3})")
    assert example.text("#status").startswith("Operator 3, ")


def test_hostile_names_stay_text(open_page, tmp_path):
    graph = hostile_graph(tmp_path)
    page = open_page(graph)
    for step in (
        "mpkgraph.go({kind: 'task', id: 5})",
        "mpkgraph.openTiles(3)",
        "mpkgraph.openMap()",
        "mpkgraph.go({kind: 'tensor', id: 0})",
        "mpkgraph.go({kind: 'operator', id: 3})",
        "mpkgraph.setColouring('operator')",
    ):
        page.evaluate(step)
        page.settle()
    page.press("/")
    page.type("<")
    assert NAMES[0] in page.text("#results")
    page.press("Escape")
    page.evaluate("mpkgraph.go({kind: 'task', id: 5})")
    assert "<b>extra</b>" in page.text("#details")
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('img, svg, b').length") == 0


def test_the_policy_stops_what_does_not_belong(browser, open_page, example_graph):
    page = open_page(example_graph)
    page.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.hacked = 1';"
        " document.body.append(s); const i = new Image(); i.src = 'http://127.0.0.1:9/x.png';"
        " document.body.append(i); })()"
    )
    page.until("true")
    assert page.evaluate("window.hacked") is None
    assert any("Content Security Policy" in line for line in page.console)
    page.console.clear()
    page.requests.clear()


def overlays(num_tasks):
    values = np.linspace(0, 10, num_tasks)
    values[:100] = np.nan
    codes = np.full(num_tasks, -1, dtype=np.int64)
    codes[41], codes[50:60] = 0, 1
    return [
        Overlay("time", "Start time", values=values, unit="us"),
        Overlay(
            "difference",
            "What changed",
            codes=codes,
            categories=(Category("changed", "changed"), Category("added", "added")),
            labels=("grew <b>",),
            label_codes=np.where(codes == 0, 0, -1),
            items=(
                OverlayItem("first", "one line", 0, tasks=(41,)),
                OverlayItem("second", operators=(7,)),
            ),
        ),
    ]


def test_overlays_colour_and_lead(open_page, example_graph):
    page = open_page(example_graph, overlays(example_graph.num_tasks))
    assert state(page)["colour"] == "time"
    page.evaluate("mpkgraph.setColouring('difference')")
    page.settle()
    row = "mpkgraph.graph.rows[41]"
    assert page.evaluate(f"mpkgraph.colouring.textOf({row})") == "changed"
    page.press("n")
    assert state(page)["selection"] == {"kind": "task", "id": 41}
    assert "grew <b>" in page.text("#details")
    red, green, blue, _ = pixel(
        page, f"(() => {{ const r = mpkgraph.map.cellRect({row}); return r; }})()"
    )
    assert (red, green, blue) == (0xF5, 0xA6, 0x23)
    page.press("n")
    assert state(page)["selection"] == {"kind": "operator", "id": 7}
    page.press("N")
    assert state(page)["selection"] == {"kind": "task", "id": 41}
    page.evaluate("document.querySelector('.legend button').click()")
    assert page.evaluate("mpkgraph.filters.count") == 1
    page.evaluate("mpkgraph.setColouring('time')")
    page.evaluate("(mpkgraph.filters.low = '5', mpkgraph.filters.apply())")
    wanted = int((overlays(example_graph.num_tasks)[0].values >= 5).sum())
    assert page.evaluate("mpkgraph.filters.count") == wanted


def test_tiles_lead_from_writers_by_events_to_readers(open_page, example_graph):
    """Each edge of the tile view is a task that triggers an event, or one that waits on it."""
    operators = recover_operators(example_graph)
    page = open_page(example_graph, anchor="#tiles=3")
    found = page.evaluate(
        "mpkgraph.view.scene.slots.map((slot) => ({ position: slot.position, output: slot.output,"
        " tensors: slot.tensors.map((t) => mpkgraph.graph.header.tensors[t]),"
        " events: slot.events.map((e) => [e.event, [...e.writers].flatMap((t) => t.rows)"
        ".map((r) => mpkgraph.graph.taskIds[r]), [...e.readers].flatMap((t) => t.rows)"
        ".map((r) => mpkgraph.graph.taskIds[r])]) }))"
    )
    assert len(found) == len(operators[3].slots)
    num_events = 0
    for slot in found:
        assert tuple(slot["tensors"]) == operators[3].slots[slot["position"]].base_ptrs
        for event, writers, readers in slot["events"]:
            num_events += 1
            assert all(example_graph.tasks.trigger_indices[t] == event for t in writers)
            assert all(example_graph.tasks.dependent_indices[t] == event for t in readers)
            for tasks, slots in ((writers, "outputs"), (readers, "inputs")):
                for task in tasks:
                    names = {s.base_ptr for s in getattr(example_graph, slots)(task)}
                    assert names & set(slot["tensors"])
    assert num_events > 0


def test_pointing_at_a_tile_tells_its_task_and_lights_its_event(open_page, example_graph):
    page = open_page(example_graph, anchor="#tiles=3")
    page.settle()
    x, y = place(
        page,
        "(() => { const v = mpkgraph.view.scene.slots[0].right.views[0];"
        " const [a, b, w, h] = v.tiles[0].rects[0]; return { x: v.x + a * v.width,"
        " y: v.y + b * v.height, width: w * v.width, height: h * v.height }; })()",
    )
    page.move(x, y)
    page.settle()
    assert page.text("#tip").startswith("task ")
    lit = page.evaluate("[...mpkgraph.view.litTiles(mpkgraph).events]")
    task = page.evaluate("mpkgraph.graph.taskIds[mpkgraph.hover.row]")
    assert lit[0] == example_graph.tasks.dependent_indices[task]
    page.click(x, y)
    assert state(page)["selection"] == {"kind": "task", "id": task}


def test_no_findings_leave_the_kinds_as_colours(open_page, example_graph):
    operators = recover_operators(example_graph)
    overlay = findings_overlay(VerifyResult((), ()), operators, 0)
    page = open_page(example_graph, [overlay])
    assert state(page)["colour"] == "kind"
    assert "0 findings" in page.text("#details")


@pytest.mark.parametrize(
    "case", ["bad/empty_graph-cc90", "bad/fuse_ok-cc90", "tests/test_diamond_fork_join-cc90"]
)
def test_real_graphs_open_in_every_view(open_page, case):
    graph = mpkgraph.read(goldens.get(case).graph_path)
    page = open_page(graph)
    for k in range(page.evaluate("mpkgraph.graph.numOperators")):
        page.evaluate(f"mpkgraph.openTiles({k})")
        page.settle()
    for name in page.evaluate("[...mpkgraph.colourings.keys()]"):
        page.evaluate(f"mpkgraph.setColouring({json.dumps(name)})")
        page.settle()
    page.press("0")
    assert page.evaluate("mpkgraph.frames > 0")


LOOK_AT_ALL = """(async () => {
  const app = mpkgraph;
  const { graph } = app;
  for (let k = 0; k < graph.numOperators; k++) {
    app.go({ kind: 'operator', id: k });
    app.openTiles(k);
    app.draw(0);
    app.openMap();
    app.draw(0);
  }
  app.state.order = true;
  for (let t = 0; t < graph.numTasks; t++) {
    app.go({ kind: 'task', id: t });
    await new Promise((resolve) => setTimeout(resolve, 2));
    app.draw(0);
  }
  for (let e = 0; e < graph.numEvents; e++) app.go({ kind: 'event', id: e });
  graph.header.tensors.forEach((_, t) => app.go({ kind: 'tensor', id: t }));
  for (const name of app.colourings.keys()) app.setColouring(name);
  return [graph.numTasks, graph.numEvents];
})()"""


def test_any_graph_that_the_format_allows_can_be_looked_at(browser, open_page):
    @given(strategies.task_graphs())
    @settings(max_examples=8, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    def look(graph):
        page = open_page(graph)
        assert page.evaluate(LOOK_AT_ALL) == [graph.num_tasks, graph.num_events]
        assert page.console == []

    look()
