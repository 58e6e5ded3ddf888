"""pytest-html with verdicts: columns for verdict, check and cluster. All is escaped, which pytest-html does not do."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest

COLUMNS = (("Verdict", "k8sha.verdict"), ("Check", "k8sha.check"), ("Cluster", "k8sha.cluster"))


class Html:
    """Registered when pytest-html is there and the plugin is in use."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_header(self, cells: list[str]) -> None:
        for offset, (title, key) in enumerate(COLUMNS):
            name = key.rpartition(".")[2]
            cells.insert(1 + offset, f'<th class="sortable" data-column-type="{name}">{title}</th>')

    @pytest.hookimpl(optionalhook=True)
    def pytest_html_results_table_row(self, report: Any, cells: list[str]) -> None:
        properties = dict(report.user_properties)
        for offset, (_, key) in enumerate(COLUMNS):
            name = key.rpartition(".")[2]
            cells.insert(1 + offset, f'<td class="col-{name}">{escape(str(properties.get(key, "")))}</td>')
