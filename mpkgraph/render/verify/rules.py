"""What is said of the rules themselves: lists, `--explain` and the pages of the documentation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from mpkgraph.analysis.json_text import json_bytes
from mpkgraph.analysis.verify.pictures import PICTURES, Picture
from mpkgraph.analysis.verify.rule import Rule
from mpkgraph.render.text import TextWriter
from mpkgraph.render.verify.json_form import rule_json
from mpkgraph.render.verify.words import sentence

SCHEMA = "mpkgraph-rules/1"


def rules_text(out: TextWriter, rules: Sequence[Rule]) -> None:
    """A table, one line a rule."""
    out.table(
        {
            "code": [x.code for x in rules],
            "name": [x.name for x in rules],
            "severity": [x.severity for x in rules],
            "family": [x.family for x in rules],
            "default": [x.is_default for x in rules],
            "record": ["needed" if x.needs_record else "" for x in rules],
            "finds": [_capital(x.summary) for x in rules],
        },
        indent=0,
    )


def rules_json(rules: Iterable[Rule]) -> bytes:
    """All that the table and `--explain` say."""
    return json_bytes({"schema": SCHEMA, "rules": [_rule_json(rule) for rule in rules]})


def _rule_json(rule: Rule) -> dict[str, Any]:
    picture = PICTURES.get(rule.code)
    return {
        **rule_json(rule),
        "why": rule.why,
        "remedy": rule.remedy,
        "bad": None if picture is None else picture.bad,
        "good": None if picture is None else picture.good,
    }


def explain_text(out: TextWriter, rules: Iterable[Rule]) -> None:
    """What each rule finds, why that matters, a bad and a good case, what to do."""
    for rule in rules:
        out.heading(f"{rule.code} {rule.name}", _traits(rule))
        out.paragraph(_told(rule.summary))
        out.line()
        out.paragraph(_told(rule.why))
        for title, drawing in _drawings(PICTURES.get(rule.code)):
            out.line()
            out.line(f"  {out.style(title, bold=True)}")
            for line in drawing.splitlines():
                out.line(f"    {line}".rstrip())
        out.line()
        out.paragraph(f"Remedy: {_told(rule.remedy)}")
        out.paragraph(f"To live with it: # mpkgraph: ignore[{rule.name}] on the layer's line.")


def _traits(rule: Rule) -> str:
    # Advice is a severity and a family
    traits = list(dict.fromkeys([str(rule.severity), rule.family]))
    if rule.needs_record:
        traits.append("needs the record")
    if not rule.is_default:
        traits.append("off by default")
    return ", ".join(traits)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _told(text: str) -> str:
    """A rule's text as a sentence."""
    return sentence(_capital(text))


def _drawings(picture: Picture | None) -> list[tuple[str, str]]:
    return [] if picture is None else [("Bad", picture.bad), ("Good", picture.good)]


def rule_page(rule: Rule) -> str:
    """A rule's page of the documentation, in Markdown; also its help in SARIF."""
    lines = [f"# {rule.code} {rule.name}", "", f"*{_traits(rule)}*", "", _told(rule.summary)]
    lines += ["", "## Why it matters", "", _told(rule.why)]
    for title, drawing in _drawings(PICTURES.get(rule.code)):
        lines += ["", f"## {title}", "", "```text", *drawing.splitlines(), "```"]
    lines += ["", "## What to do", "", _told(rule.remedy)]
    return "\n".join(lines) + "\n"


_INDEX = """\
# Rules of mpkgraph verify

<!-- Made from the rules by `make golden`: change the rows in mpkgraph/analysis/verify/rules. -->

An **error** gives a wrong result, a hang or a crash for some schedule that the events allow, or for
some legal input. A **warning** is suspicious, or certain only with facts that the graph lacks.
**Advice** is correct and costly; it is given when asked for (`--select advice`). Codes and names
never change their meaning.
"""

_TABLE = ("| rule | severity | finds |", "| --- | --- | --- |")
_TOCTREE = """\
```{toctree}
:hidden:
:glob:

MPK*
```
"""


def rules_index(rules: Iterable[Rule]) -> str:
    """The page that lists the rules by family."""
    families: dict[str, list[Rule]] = {}
    for rule in rules:
        families.setdefault(rule.family, []).append(rule)
    lines = [_INDEX]
    for family, members in families.items():
        lines += [f"## {family.capitalize()}", "", *_TABLE]
        for rule in members:
            mark = " (needs the record)" if rule.needs_record else ""
            summary = _capital(rule.summary).replace("|", "\\|")
            lines.append(
                f"| [{rule.code} {rule.name}]({rule.code}.md) | {rule.severity} | {summary}{mark} |"
            )
        lines.append("")
    return "\n".join([*lines, _TOCTREE])
