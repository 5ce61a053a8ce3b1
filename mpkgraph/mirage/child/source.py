"""The user's source on the real Mirage: a script, a function, or recorded pipelines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from mpkgraph.errors import UsageError
from mpkgraph.io.record import read_record
from mpkgraph.mirage.child.recording import Recording
from mpkgraph.mirage.child.replay import MirageReplay
from mpkgraph.mirage.protocol import ChildRequest
from mpkgraph.pipeline.function_parameters import bind_parameters, takes_kernel
from mpkgraph.pipeline.target import Target
from mpkgraph.pipeline.user_code import (
    UserFunction,
    is_function,
    read_script,
    run_as_main,
    shown,
)


def origin_of(request: ChildRequest) -> dict[str, Any]:
    """What a record says about what made it."""
    rank = {"world_size": request.target["world_size"], "rank": request.target["rank"]}
    if is_function(request.source):
        name = UserFunction.named(request.source).shown
        return {"function": name, "settings": dict(request.settings), **rank}
    if request.source:
        script = {"script": shown(Path(request.source)), "options": list(request.arguments)}
        return {**script, **rank}
    return rank


def import_folder(request: ChildRequest) -> Path | None:
    """Where the source's own imports are looked for first."""
    if is_function(request.source):
        return UserFunction.named(request.source).folder
    return Path(request.source).absolute().parent if request.source else None


def run_source(request: ChildRequest, mirage: Any, recording: Recording, target: Target) -> None:
    """Run it; whatever it raises goes on."""
    if request.records:
        for path in request.records:
            kernel = MirageReplay(mirage, recording, read_record(path), fill=request.launch).run()
            kernel.compile()
            if request.launch:
                kernel.run_test_mode()
        return
    if not is_function(request.source):
        script = Path(request.source)
        sys.argv = [request.source, *request.arguments]
        run_as_main(script, read_script(script), {})
        return
    named = UserFunction.named(request.source)
    sys.argv = [named.module]
    function = named.load()
    arguments = bind_parameters(function, request.settings)
    if not takes_kernel(function):
        function(**arguments)
        return
    kernel = mirage.PersistentKernel(**_init_parameters(request, mirage, target))
    function(kernel, **arguments)
    if not kernel._is_compiled:  # noqa: SLF001  Mirage's name
        kernel.compile()
        if request.launch:
            kernel.run_test_mode()


def _init_parameters(request: ChildRequest, mirage: Any, target: Target) -> dict[str, Any]:
    """As for a function on the stand-in, with this Mirage's own defaults."""
    if request.has_target or request.redirect:
        workers, schedulers = target.configuration
    else:
        found = mirage.get_configurations_from_gpu(target.rank)
        workers = target.num_workers or found[0]
        schedulers = target.num_local_schedulers or found[1]
    parameters = {
        **mirage.PersistentKernel.get_default_init_parameters(),
        "test_mode": True,
        "num_workers": workers,
        "num_local_schedulers": schedulers,
        "world_size": target.world_size,
        "mpi_rank": target.rank,
    }
    unknown = sorted(set(request.init) - set(parameters))
    if unknown:
        raise UsageError(
            f"the kernel has no parameter {', '.join(map(repr, unknown))}",
            remedy=f"It has {', '.join(parameters)}",
        )
    return {**parameters, **request.init}
