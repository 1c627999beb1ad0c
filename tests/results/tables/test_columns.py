"""Columns of tables: short names of parameters."""

from __future__ import annotations

from foldtune.results.tables.columns import short_names


def test_short_names_are_the_shortest_unique_ones() -> None:
    names = ["loss", "loss.focal.gamma", "loss.cb.gamma", "loss.cb.beta", "lr", "a.lr", "epochs"]
    assert short_names(names, taken=["epochs"]) == {
        "loss": "loss",
        "loss.focal.gamma": "focal.gamma",
        "loss.cb.gamma": "cb.gamma",
        "loss.cb.beta": "beta",
        "lr": "lr",
        "a.lr": "a.lr",
        "epochs": "params_epochs",
    }
