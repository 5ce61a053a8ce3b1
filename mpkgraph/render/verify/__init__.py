"""Reports of `mpkgraph verify`: text, JSON, SARIF, annotations and JUnit of the same object."""

from __future__ import annotations

from mpkgraph.analysis.verify.report import VerifyReport


def render_report(report: VerifyReport, form: str) -> bytes:
    """The report in a form for programs: `json`, `sarif`, `github` or `junit`."""
    if form == "json":
        from mpkgraph.render.verify.json_form import report_json

        return report_json(report)
    if form == "sarif":
        from mpkgraph.render.verify.sarif import report_sarif

        return report_sarif(report)
    if form == "github":
        from mpkgraph.render.verify.github import report_github

        return report_github(report)
    if form == "junit":
        from mpkgraph.render.verify.junit import report_junit

        return report_junit(report)
    raise ValueError(f"no form {form!r}")
