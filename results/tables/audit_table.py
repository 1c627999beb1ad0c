"""Findings of an audit, counted, as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.tables.columns import titled
from foldtune.wording import shortened

SHOWN_ID = 40
"""Characters of an id."""


def audit_table(findings: pd.DataFrame, title: str, wordings: Mapping[str, str]) -> Group:
    """Return one row for each kind and scope of findings: how many, and the first of them.

    Args:
        findings: columns finding, scope, image, other, score, detail, suggested, label, as text.
        wordings: description of each kind of finding.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("finding", no_wrap=True)
    table.add_column("where", no_wrap=True)
    table.add_column("number", justify="right")
    table.add_column("first", overflow="fold")
    for (kind, scope), part in findings.groupby(["finding", "scope"], sort=False):
        first = part.iloc[0]
        table.add_row(wordings.get(str(kind), str(kind)), str(scope), f"{len(part):,}", _first(first))
    if findings.empty:
        return Group(Text(title, style="italic"), Text("nothing found among the images"))
    return titled(title, table)


def _first(row: pd.Series[str]) -> str:
    names = shortened(str(row["image"]), SHOWN_ID)
    if row["other"]:
        names += f" = {shortened(str(row['other']), SHOWN_ID)}"
    if row["suggested"]:
        names += f": {shortened(str(row['label']), SHOWN_ID)} → {shortened(str(row['suggested']), SHOWN_ID)}"
    facts = [text for text in (row["score"] if row["other"] else "", row["detail"]) if text]
    return f"{names} ({', '.join(facts)})" if facts else names
