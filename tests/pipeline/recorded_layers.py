"""What the real Mirage did with one set of calls of every layer method, on every target.

`recorded_layers.json` holds two sessions, of one GPU with NVLink multicast and of rank 1 of two
GPUs without, each a list of calls: a set of arguments that a method takes, and one that it
refuses. Mirage's unchanged Python layer made the outcomes over its real core, built without a GPU.

    {"world_size": 2, "rank": 1, "multicast": false, "calls": [
      {"method": ..., "args": {...}, "outcomes": [OUTCOME, ...], "by_cc": {"80": 0, "90": 1, ...}}]}

An argument `{"tensor": dims, "name": name}` is a new tensor, made right before the call.
"""

import json
from pathlib import Path
from types import SimpleNamespace

from mpkgraph.pipeline import PersistentKernel, Target, use_target

PATH = Path(__file__).with_suffix(".json")
SIZES = {"max_num_pages": 4, "page_size": 2, "max_num_batched_requests": 4}


def sessions():
    return json.loads(PATH.read_text(encoding="utf-8"))["sessions"]


def run(session, cc):
    """The kernel after the session's calls; what each of them raised."""
    target = Target(
        cc=cc,
        world_size=session["world_size"],
        rank=session["rank"],
        multicast=session["multicast"],
    )
    parameters = PersistentKernel.get_default_init_parameters() | SIZES
    parameters |= {"world_size": session["world_size"], "mpi_rank": session["rank"]}
    with use_target(target):
        kernel = PersistentKernel(**parameters, test_mode=True)
    errors = []
    for call in session["calls"]:
        arguments = {name: _decoded(kernel, x) for name, x in call["args"].items()}
        try:
            getattr(kernel, call["method"])(**arguments)
        except Exception as error:  # noqa: BLE001  looked at by the test
            errors.append(error)
        else:
            errors.append(None)
    return kernel, errors


def outcome(entry):
    """A layer's log entry without what its arguments say: [exception, what it did]."""
    exception = entry.get("exception")
    if exception is not None:  # as Python words it from 3.11 on
        exception = exception.replace("integer division or modulo", "integer modulo")
    return [exception, [_compact(x) for x in entry["lowlevel"]]]


def _compact(entry):
    if entry["op"] == "layer":
        return {entry["method"]: outcome(entry)}
    slots = [[x["tensor"], *x["input_map"], x["forloop_dim"]] for x in entry["inputs"]]
    given = [None if x is None else x["tensor"] for x in entry["customized"]]
    assert given == [x[0] for x in slots]
    assert all(x["store_in_dmem"] is True for x in entry["inputs"])
    task = entry.get("register_task")
    # The recorder of these sessions wrote numbers as the core takes them.
    whole = task and [task["name"], task["params"] and [int(x) for x in task["params"]]]
    return {"grid": entry["grid_dim"], "slots": slots, "task": whole}


def _decoded(kernel, value):
    if isinstance(value, dict) and "tensor" in value:
        return kernel.new_tensor(dims=tuple(value["tensor"]), name=value["name"])
    if isinstance(value, dict) and "tuple" in value:
        return tuple(_decoded(kernel, x) for x in value["tuple"])
    if isinstance(value, dict) and "list" in value:
        return [_decoded(kernel, x) for x in value["list"]]
    if isinstance(value, dict) and "config" in value:
        return SimpleNamespace(**value["config"])
    return value
