"""The HTML page of a graph: what it holds. Written by `mpkgraph.render.html`."""

from mpkgraph.analysis.page.findings import findings_overlay
from mpkgraph.analysis.page.overlay import Category, Overlay, OverlayItem, overlays_json
from mpkgraph.analysis.page.overlay_file import parse_overlays, read_overlays
from mpkgraph.analysis.page.page import Page, make_page

__all__ = [
    "Category",
    "Overlay",
    "OverlayItem",
    "Page",
    "findings_overlay",
    "make_page",
    "overlays_json",
    "parse_overlays",
    "read_overlays",
]
