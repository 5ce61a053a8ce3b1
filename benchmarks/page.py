"""How large the HTML page of a graph is, how soon it opens and how many frames it draws a second.

`python -m benchmarks.page GRAPH...` needs Chromium; it draws in software here, on the cores that it
finds, so a desktop with a GPU is faster. Frames are counted while the view moves on every one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mpkgraph
from mpkgraph.analysis.context import GraphContext
from mpkgraph.analysis.page import make_page
from mpkgraph.render.html import save_page
from tests.render.html.browser import CHROMIUM, Browser

SECONDS = 2.5
MOVE = """(async (mode, seconds) => {
  const app = mpkgraph;
  const start = performance.now();
  const times = [];
  const costs = [];
  const draw = app.draw.bind(app);
  app.draw = (now) => {
    const t = performance.now();
    draw(now);
    costs.push(performance.now() - t);
  };
  while (performance.now() - start < seconds * 1000) {
    const t = (performance.now() - start) / 1000;
    const { width, height } = app.size;
    if (mode === "pan") app.camera.pan(9 * Math.cos(3 * t), 7 * Math.sin(2 * t));
    else app.camera.zoomAt(width / 2, height / 2, 1 + 0.03 * Math.cos(2.5 * t));
    app.dirty();
    times.push(await new Promise(requestAnimationFrame));
  }
  delete app.draw;
  const gaps = times.slice(1).map((x, i) => x - times[i]).sort((a, b) => a - b);
  costs.sort((a, b) => a - b);
  const at = (list, share) => list[Math.floor((list.length - 1) * share)];
  return { fps: 1000 / (gaps.reduce((a, b) => a + b, 0) / gaps.length), slow: 1000 / at(gaps, 0.95),
    cost: at(costs, 0.5) };
})(MODE, SECONDS)"""
VIEWS = (
    ("as opened", "0", "pan"),
    ("all unfolded", "mpkgraph.scene.foldedRuns.size && mpkgraph.toggleFoldAll()", "zoom"),
    ("zoomed in", "mpkgraph.go({kind: 'task', id: mpkgraph.graph.numTasks >> 1})", "zoom"),
    ("order lit, all in sight", "(mpkgraph.toggleOrder(), mpkgraph.fit())", "pan"),
    ("tiles of the largest operator", "mpkgraph.openTiles(LARGEST)", "pan"),
)
LARGEST = (
    "mpkgraph.graph.operators.reduce((best, o, k, all) => o.count > all[best].count ? k : best, 0)"
)


def measure(path: str, folder: Path) -> dict[str, Any]:
    """Size, times and frames of one graph's page."""
    graph = mpkgraph.read(path)
    operators = mpkgraph.operators(graph)
    start = time.perf_counter()
    page = make_page(GraphContext(graph, operators))
    target = folder / "page.html"
    save_page(page, target)
    written = time.perf_counter() - start
    found: dict[str, Any] = {
        "graph": page.title,
        "tasks": graph.num_tasks,
        "slots": graph.tasks.num_slots,
        "written_s": written,
        "bytes": target.stat().st_size,
        "views": {},
    }
    with Browser() as browser:
        start = time.perf_counter()
        shown = browser.open(target)
        found["opened_s"] = time.perf_counter() - start
        found["ready_s"] = shown.evaluate("mpkgraph.openedMs") / 1000
        for name, action, mode in VIEWS:
            shown.evaluate(action.replace("LARGEST", LARGEST))
            shown.settle()
            script = MOVE.replace("MODE", repr(mode)).replace("SECONDS", str(SECONDS))
            found["views"][name] = shown.evaluate(script)
    return found


def report(found: dict[str, Any]) -> str:
    """A few lines of text."""
    lines = [
        f"{found['graph']}: {found['tasks']:,} tasks, {found['slots']:,} slots",
        (
            f"  file {found['bytes']:,} bytes, {found['bytes'] / (found['slots'] or 1):.2f} a slot;"
            f" made in {found['written_s']:.2f} s; ready {found['ready_s']:.2f} s after its script"
            f" starts, {found['opened_s']:.2f} s after the tab is asked for"
        ),
    ]
    lines += [
        f"  {name:<31} {x['fps']:5.1f} frames/s, 95% above {x['slow']:5.1f},"
        f" {x['cost']:.1f} ms of script a frame"
        for name, x in found["views"].items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("graphs", nargs="+", help="graph files")
    options = parser.parse_args(arguments)
    if CHROMIUM is None:
        sys.exit("no Chromium is installed")
    with tempfile.TemporaryDirectory() as folder:
        for path in options.graphs:
            print(report(measure(path, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
