"""A recorded pipeline written out as a script of Mirage's test mode."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

from mpkgraph.errors import UsageError
from mpkgraph.model.record import BlockGraph, LayerCall, PipelineRecord, TensorCall

HEAD = '''"""{title}"""

import torch
from mirage.core import CyTBGraph, dtype
from mirage.mpk.persistent_kernel import PersistentKernel
from mirage.threadblock import TBGraph
'''
LOOKS_LIKE_INPUT = 'torch.randn({shape}, device="cuda").to(torch.{dtype})'
DEFAULTS = {"mode": "offline", "world_size": 1, "mpi_rank": 0}
KEPT_OUT = ("meta_tensors", "profiler_tensor", "spec_decode_config", "test_mode")
"""Init parameters that are not written as they are."""


def script_text(record: PipelineRecord, title: str) -> str:
    """The script: the same tensors and layers, in test mode, compiled and run once.

    Planned by mpkgraph it gives the record's graph. Raises UsageError for what no script can say.
    """
    return "".join(_Script(record, title).lines())


class _Script:
    def __init__(self, record: PipelineRecord, title: str) -> None:
        self.record = record
        self.title = title
        self.names: dict[int, str] = {}

    @property
    def has_ranks(self) -> bool:
        """Whether each process is one of several ranks: MPI says which."""
        return self.record.num_gpus > 1

    def lines(self) -> Iterator[str]:
        title = self.title.replace("\\", "/").replace('"', "'")
        head = HEAD.format(title="".join(x if x.isprintable() else " " for x in title))
        body = "".join(self._body())
        if "CyTBGraph(" not in body:
            head = head.replace("from mirage.threadblock import TBGraph\n", "")
            head = head.replace("CyTBGraph, ", "")
        if "dtype(" not in body.replace("torch.dtype(", ""):
            head = head.replace("from mirage.core import dtype\n", "")
            head = head.replace("CyTBGraph, dtype", "CyTBGraph")
        if self.has_ranks:
            head = head.replace("import torch\n", "import torch\nfrom mpi4py import MPI\n", 1)
        yield head
        yield body

    def _body(self) -> Iterator[str]:
        yield "\nparams = PersistentKernel.get_default_init_parameters()\n"
        init = {k: v for k, v in self.record.init.items() if k not in KEPT_OUT}
        init = {k: v for k, v in init.items() if DEFAULTS.get(k, ...) != v}
        yield "params.update(\n    test_mode=True,\n"
        for key, value in init.items():
            if key == "mpi_rank" and self.has_ranks:
                continue
            if isinstance(value, (int, float, str, bool)) or value is None:
                yield f"    {key}={value!r},\n"
        if self.has_ranks:
            yield "    mpi_rank=MPI.COMM_WORLD.Get_rank(),\n"
        yield ")\n"
        yield from self._meta()
        yield "pk = PersistentKernel(**params)\n\n"
        for entry in self.record.log:
            if isinstance(entry, TensorCall):
                yield from self._tensor(entry)
            elif isinstance(entry, LayerCall):
                yield from self._layer(entry)
            elif isinstance(entry, BlockGraph):
                yield from self._block_graph(entry)
        yield "\npk.compile()\npk.run_test_mode()\ntorch.cuda.synchronize()\n"

    def _meta(self) -> Iterator[str]:
        from mpkgraph.pipeline.script_values import meta_values

        meta = self.record.init.get("meta_tensors") or {}
        values = meta_values(self.record)
        if not meta:
            return
        yield 'params["meta_tensors"] = {\n'
        for name, shape in meta.items():
            dims = list(shape["torch"])
            numbers = values.get(name)
            if numbers is not None and len(dims) == 1 and len(numbers) <= dims[0]:
                filled = [*numbers, *[0] * (dims[0] - len(numbers))]
                value = f'torch.tensor({filled}, dtype=torch.{shape["dtype"]}, device="cuda")'
            else:
                value = f'torch.zeros({dims}, dtype=torch.{shape["dtype"]}, device="cuda")'
            yield f"    {name!r}: {value},\n"
        yield "}\n"

    def _tensor(self, call: TensorCall) -> Iterator[str]:
        variable = self._name(call.tensor, call.name)
        if call.op == "attach_input":
            made = self._torch(call)
            yield f"{variable} = pk.attach_input({made}, name={call.name!r})\n"
        elif call.op == "new_tensor":
            category = call.io_category or "cuda_tensor"
            strides = "" if call.strides == _row_major(call.dims) else f"strides={call.strides}, "
            yield (
                f"{variable} = pk.new_tensor(dims={call.dims}, {strides}"
                f"dtype=dtype({call.dtype!r}), name={call.name!r}, io_category={category!r})\n"
            )
        else:
            parts = ", ".join(self._ref(x.tensor) for x in call.inputs or ())
            word = "shuffled_dim" if call.op == "shuffle_tensors" else "fused_dim"
            yield (
                f"{variable} = pk.{call.op}(\n    inputs=[{parts}], {word}={call.dim}, "
                f"num_groups={call.num_groups}, name={call.name!r}\n)\n"
            )

    def _torch(self, call: TensorCall) -> str:
        tensor = self.record.tensor_by_id[call.tensor]
        kind = tensor.torch_dtype or "bfloat16"
        shape, dims = ", ".join(map(str, call.dims)), call.dims
        is_number = kind.startswith(("bfloat", "float")) and kind != "float8_e8m0fnu"
        columns = len(dims) == 2 and call.strides == (1, dims[0]) and call.strides[0] != dims[1]
        if columns:
            shape = f"{dims[1]}, {dims[0]}"
        made = LOOKS_LIKE_INPUT.format(shape=shape, dtype=kind)
        if not is_number:
            made = f'torch.zeros({shape}, dtype=torch.{kind}, device="cuda")'
        if columns:
            made += ".t()"
        elif call.strides != _row_major(dims):
            made = f"{made}.as_strided({dims}, {call.strides})"
        return made

    def _layer(self, call: LayerCall) -> Iterator[str]:
        arguments = ",\n".join(f"    {k}={self._value(v)}" for k, v in call.args.items())
        yield f"pk.{call.method}(\n{arguments},\n)\n"

    def _block_graph(self, entry: BlockGraph) -> Iterator[str]:
        made = f"CyTBGraph({entry.grid_dim}, (128, 1, 1), {entry.forloop_range}, 64)"
        yield f"graph = TBGraph({made})\n"
        for slot in entry.inputs:
            yield (
                f"graph.new_input({self._ref(slot.tensor)}, {slot.input_map}, "
                f"{slot.forloop_dim}, {slot.store_in_dmem})\n"
            )
        tensors = ", ".join(self._ref(None if x is None else x.tensor) for x in entry.customized)
        yield f"pk.kn_graph.customized([{tensors}], graph)\n"
        task = entry.register_task
        if task is not None:
            params = "" if task.params is None else f", {[int(x) for x in task.params]}"
            yield f"pk.kn_graph.register_task(graph, {task.name!r}{params})\n"

    def _value(self, value: Any) -> str:
        if isinstance(value, dict) and value.keys() == {"tensor", "name"}:
            return self._ref(value["tensor"])
        if isinstance(value, Mapping):
            raise UsageError("a layer's argument is an object, which no script can be written for")
        if isinstance(value, list):
            return f"({', '.join(self._value(x) for x in value)}{',' * (len(value) == 1)})"
        return repr(value)

    def _ref(self, tensor: int | None) -> str:
        if tensor is None:
            return "None"
        name = self.names.get(tensor)
        if not name:
            raise UsageError("a layer uses a tensor that another layer made, by no name")
        return name

    def _name(self, tensor: int, text: str) -> str:
        """A variable for a tensor."""
        name = re.sub(r"\W", "_", text, flags=re.ASCII) or "t"
        if not name.isidentifier() or keyword.iskeyword(name) or name in _TAKEN:
            name = f"t_{name}"
        while name in self.names.values():
            name += "_"
        self.names[tensor] = name
        return name


_TAKEN = frozenset({"pk", "params", "torch", "graph", "dtype", "PersistentKernel", "TBGraph"})


def _row_major(dims: tuple[int, ...]) -> tuple[int, ...]:
    from mpkgraph.pipeline.tensors import row_major

    return row_major(dims)
