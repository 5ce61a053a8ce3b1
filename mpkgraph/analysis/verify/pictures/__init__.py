"""A drawing of a bad and of a good case for each rule, for `--explain` and the rules' pages."""

from __future__ import annotations

from collections.abc import Mapping

from mpkgraph.analysis.verify.pictures.advice import ADVICE
from mpkgraph.analysis.verify.pictures.hazards import HAZARDS
from mpkgraph.analysis.verify.pictures.picture import MAX_WIDTH, Picture
from mpkgraph.analysis.verify.pictures.ranks import RANKS
from mpkgraph.analysis.verify.pictures.resources import RESOURCES
from mpkgraph.analysis.verify.pictures.splits import SPLITS
from mpkgraph.analysis.verify.pictures.structure import STRUCTURE

__all__ = ["MAX_WIDTH", "PICTURES", "Picture"]

PICTURES: Mapping[str, Picture] = {
    **SPLITS,
    **HAZARDS,
    **STRUCTURE,
    **RESOURCES,
    **ADVICE,
    **RANKS,
}
"""By the code of the rule."""
