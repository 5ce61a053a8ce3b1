import json
from pathlib import Path

from mpkgraph.io.writer import text_chunks
from mpkgraph.planner.plan import ProcessPlanner

from .core import CyKNGraph, CyTBGraph, DTensor, bfloat16  # noqa: F401
from .faults import fault, wanted

PLANNER = ProcessPlanner()
CODE = """
static void _init_persistent_kernel(int a) {
std::map<std::string, void*> all_tensors;
}
"""


def get_key_paths():
    root = str(Path(__file__).parents[2])
    return root, root + "/include", root + "/deps"


class KNGraph:
    def __init__(self, graph):
        self.cygraph = graph
        self.kernel = None

    def new_input(self, dims, strides=None, dtype=bfloat16):
        from mpkgraph.pipeline.tensors import row_major

        return self.cygraph.new_input(dims, row_major(dims) if strides is None else strides, dtype)

    def attach_torch_tensor(self, t, torch_tensor, name):
        return self.cygraph.attach_torch_tensor(t, torch_tensor, name)

    def attach_cuda_tensor(self, t, name):
        return self.cygraph.attach_cuda_tensor(t, name)

    def attach_nvshmem_tensor(self, t, name):
        return self.cygraph.attach_nvshmem_tensor(t, name)

    def fuse_tensors(self, input, fuse_dim, num_groups, name):
        return self.cygraph.fuse_tensors(input, fuse_dim, num_groups, name)

    def shuffle_tensors(self, input, shuffled_dim, num_groups, name):
        return self.cygraph.shuffle_tensors(input, shuffled_dim, num_groups, name)

    def customized(self, inputs, bgraph):
        return self.cygraph.customized(inputs, bgraph.cygraph)

    def register_task(self, bgraph, task_type, params=None):
        fault(task_type)
        return self.cygraph.register_task(bgraph.cygraph, task_type, params)

    def generate_task_graph(self, num_gpus, my_gpu_id):
        fault("generate")
        record = self.cygraph.recorder.record(
            target_cc=self.kernel.target_cc,
            init={},
            generate={"num_gpus": num_gpus, "my_gpu_id": my_gpu_id},
        )
        text = b"".join(text_chunks(PLANNER(record).graph)).decode()
        if wanted("generate") == "differ":
            graph = json.loads(text)
            graph["all_tasks"][2]["variant_id"] = 7
            text = json.dumps(graph, indent=2, sort_keys=True)
        return {"json_file": text, "cuda_code": CODE}


class TBGraph:
    def __init__(self, graph):
        self.cygraph = graph

    def new_input(self, dtensor, input_map, forloop_dim, store_in_dmem=False):
        return self.cygraph.new_input(dtensor, input_map, forloop_dim, store_in_dmem)
