"""Colours of pictures: one per kind of task, told apart with any kind of colour vision."""

from __future__ import annotations

KIND_COLOURS = {
    # Chosen by search so that any two differ by a CIELAB distance of 15 or more in normal vision
    # and in simulated protanopia, deuteranopia and tritanopia, with black text at a contrast of
    # 6.5:1 or more. The name of the kind is always there too: colour alone says nothing.
    "control": "#D9D9D9",
    "embedding": "#9F9725",
    "norm": "#EDC75C",
    "linear": "#7FBFD6",
    "attention": "#B8857C",
    "mla": "#F9A285",
    "moe": "#94FDBC",
    "quantize": "#659E49",
    "elementwise": "#728CF2",
    "communication": "#ACB4FF",
    "sampling": "#CBFF99",
    "speculation": "#E165A3",
    # Not seen in graphs of today: white, as a kind without a colour of its own.
    "profiling": "#FFFFFF",
    "placeholder": "#FFFFFF",
    "unknown": "#FFFFFF",
}

BACKGROUND = "#FFFFFF"
TEXT = "#000000"
FAINT_TEXT = "#404040"
BORDER = "#595959"
FRAME = "#8C8C8C"
FRAME_FILL = "#F5F6F8"

EDGE_COLOURS = {
    "order": "#333333",
    "remote": "#8A2A9E",
    "repeat": "#0B5FA5",
    "outside": "#7A7A7A",
}
