"""Distributed hyperparameter search for image classifiers, ending in a K-fold ensemble and a submission."""

from __future__ import annotations

from foldtune.errors import FoldtuneError

__version__ = "0.2.0"
__all__ = ["FoldtuneError", "__version__"]
