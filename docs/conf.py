"""The documentation site: `make docs`, or `sphinx-build -W -n docs build/docs`."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

from mpkgraph import __version__  # noqa: E402  of this checkout

project = "mpkgraph"
author = "the mpkgraph authors"
project_copyright = author
version = release = __version__

extensions = [
    "myst_parser",
    "mpkgraph_tables",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_ext", "_static"]
nitpicky = True
# Types in signatures that have no entry here stand as plain text; links of pages are all checked
nitpick_ignore_regex = [
    (r"py:(class|obj|data)", r"(numpy|np|npt|networkx|nx|collections|pathlib|os|typing)\..*"),
    (r"py:(class|obj|data)", r"mpkgraph\..*|[A-Z]\w*|tuple\[~pathlib\.Path"),
]
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
maximum_signature_line_length = 88

myst_heading_anchors = 4
highlight_language = "none"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

html_theme = "pydata_sphinx_theme"
html_title = f"mpkgraph {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_sidebars = {"tutorial/index": []}
html_theme_options = {
    "logo": {"text": "mpkgraph"},
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_nav_level": 1,
    "navigation_depth": 2,
    "show_toc_level": 2,
    "show_prev_next": False,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
    "footer_start": [],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
}
