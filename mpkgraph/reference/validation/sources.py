"""Where tensors of the caller come from: files, the script, functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from mpkgraph.analysis.verify.report import Pipeline
from mpkgraph.errors import UsageError
from mpkgraph.reference.interpreter.initial import Given
from mpkgraph.reference.interpreter.program import Program
from mpkgraph.reference.interpreter.roles import tensor_roles
from mpkgraph.reference.interpreter.unknown import unexecuted
from mpkgraph.reference.validation.stored import load_ranks

FILE_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
Right = Mapping[str, Any]
NO_FUNCTIONS: Mapping[str, Callable[..., Any]] = MappingProxyType({})


def given_of(
    pipeline: Pipeline,
    inputs: str | None,
    scripts: Sequence[Given],
    aliases: Mapping[str, str],
) -> tuple[list[Given], str]:
    """What the caller gives each rank, and in words where it is from.

    Raises UsageError for a file that can't be read or holds nothing of the pipeline.
    """
    program = Program.of(pipeline.ranks)
    from_files = [] if inputs is None else load_ranks(inputs, [x.rank for x in program.ranks])
    skipped = unexecuted(program)
    found: list[Given] = []
    sources = set()
    for position, rank in enumerate(program.ranks):
        given = scripts[position] if position < len(scripts) else Given()
        if given.tensors:
            sources.add("the script")
        tensors = dict(given.tensors)
        keep: frozenset[str] = frozenset()
        if position < len(from_files):
            mine = _inputs(from_files[position])
            known = {k: v for k, v in mine.items() if k in rank.shapes}
            if not known:
                raise UsageError(
                    "no tensor of it is a tensor of the pipeline",
                    where=inputs,
                    remedy=f"The pipeline has {', '.join(list(rank.shapes)[:6])}",
                )
            tensors.update(known)
            sources.add(str(inputs))
            keep = frozenset(known) & skipped.tensors.get(rank.rank, frozenset())
        unknown = [x for pair in aliases.items() for x in pair if x not in rank.shapes]
        if unknown:
            raise UsageError(f"no tensor is called {unknown[0]!r}, which --alias names")
        roles = tensor_roles(rank)
        made_up = [
            name
            for name, shape in rank.shapes.items()
            if name not in tensors
            and shape.kind not in {"shuffle_tensors", "new_tensor"}
            and roles[name].role != "output"
        ]
        if made_up:
            sources.add("made up")
        found.append(dataclasses.replace(given, tensors=tensors, aliases=aliases, keep=keep))
    words = sorted(sources - {"made up"}) + (["made up"] if "made up" in sources else [])
    return found, " and ".join(words) or "none"


def right_of(
    pipeline: Pipeline,
    text: str | None,
    given: Sequence[Given],
    sources: Sequence[str],
    functions: Mapping[str, Callable[..., Any]] = NO_FUNCTIONS,
) -> tuple[list[Right], str | None]:
    """Right values by position of the rank, and in words where they are from.

    `functions` are those of scripts that were run: they are not run again for one of them.
    """
    if text is None:
        return [], None
    ranks = [x.graph.rank for x in pipeline.ranks]
    if Path(text).exists() or text.endswith(FILE_SUFFIXES):
        return [_outputs(x) for x in load_ranks(text, ranks)], text
    function = functions.get(text) or _function(text, sources, functions)
    return [_called(function, pipeline, i, given, text) for i in range(len(ranks))], text


def _called(
    function: Callable[..., Any],
    pipeline: Pipeline,
    position: int,
    given: Sequence[Given],
    name: str,
) -> Right:
    """The tensors that a user's function makes of the inputs, all by name."""
    from mpkgraph.reference.interpreter.initial import Initial, InitialOptions

    program = Program.of(pipeline.ranks)
    memory = Initial(program, InitialOptions(given=given)).memories()[position]
    inputs = {key: tensor.clone() for key, tensor in memory.tensors()}
    try:
        result = function(inputs)
    except Exception as error:
        raise UsageError(
            f"the reference function failed: {type(error).__name__}: {error}", where=name
        ) from error
    if not isinstance(result, Mapping) or not all(
        isinstance(x, torch.Tensor) for x in result.values()
    ):
        raise UsageError(
            "the reference function must return tensors by name",
            where=name,
            remedy='Return {"out": tensor}',
        )
    shapes = program.ranks[position].shapes
    for key, tensor in result.items():
        if key in shapes and tuple(tensor.shape) != shapes[key].dims:
            raise UsageError(
                f"the reference of {key!r} has shape {list(tensor.shape)}, the tensor has "
                f"{list(shapes[key].dims)}",
                where=name,
            )
    return result


def _function(
    text: str, sources: Sequence[str], functions: Mapping[str, Callable[..., Any]]
) -> Callable[..., Any]:
    """`file.py:function`, `module:function`, or a function of the only script."""
    from mpkgraph.pipeline.script import reference_function

    if ":" not in text:
        scripts = {x.rpartition(":")[0] if ".py:" in x else x for x in sources}
        if len(scripts) != 1 or not next(iter(scripts)).endswith(".py"):
            raise UsageError(
                f"{text!r} is neither a file nor a function",
                remedy="Give .safetensors, .pt, a directory of --save, or file.py:function",
            )
        if functions:
            raise UsageError(
                f"{scripts.pop()} has no function {text!r}",
                remedy=f"It has {', '.join(sorted(functions))}",
            )
        text = f"{scripts.pop()}:{text}"
    return reference_function(text)


def _inputs(tensors: Right) -> Right:
    """A file of `in.NAME` and `out.NAME` holds inputs and results."""
    return _under(tensors, "in.")


def _outputs(tensors: Right) -> Right:
    return _under(tensors, "out.")


def _under(tensors: Right, prefix: str) -> Right:
    if tensors and all(name.startswith(("in.", "out.")) for name in tensors):
        return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    return tensors
