"""The page of task execution is that of the table."""

import pytest

pytest.importorskip("torch")

from tests.reference import execution_page


def test_the_page_is_current(request):
    text = execution_page.page()
    if request.config.getoption("--update-golden"):
        execution_page.PAGE.write_text(text, encoding="utf-8")
    assert execution_page.PAGE.read_text(encoding="utf-8") == text
