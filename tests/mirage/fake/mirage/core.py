"""Stands for the compiled core: our own classes."""

from mpkgraph.pipeline.dtypes import *  # noqa: F403
from mpkgraph.pipeline.dtypes import bfloat16, dtype, from_torch  # noqa: F401
from mpkgraph.pipeline.graphs import CyKNGraph, CyTBGraph  # noqa: F401
from mpkgraph.pipeline.tensors import DTensor  # noqa: F401
