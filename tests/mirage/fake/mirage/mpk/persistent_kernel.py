import json
import os
import shutil
import subprocess
import tempfile

from ..core import CyKNGraph, CyTBGraph, DTensor, bfloat16, from_torch  # noqa: F401
from ..faults import fault
from ..kernel import KNGraph, TBGraph, get_key_paths

HARD_CODE = """
static PyObject *init_func(PyObject *self, PyObject *args) {
  int is_test_mode;
  if (!PyArg_ParseTuple(args, "OiOO", &meta_list, &workers, &tensor_names_list, &json)) {
    return NULL;
  }
  init_persistent_kernel(meta_tensors, workers, is_test_mode);
}
PyMODINIT_FUNC PyInit___mirage_launcher(void) { return NULL; }
"""


class PersistentKernel:
    def __init__(
        self,
        mode,
        world_size,
        mpi_rank,
        num_workers,
        num_local_schedulers,
        meta_tensors,
        test_mode=False,
    ):
        fault("PersistentKernel")
        self._is_compiled = False
        self.mode, self.world_size, self.mpi_rank = mode, world_size, mpi_rank
        self.num_workers, self.num_local_schedulers = num_workers, num_local_schedulers
        self.meta_tensors, self.test_mode = meta_tensors, test_mode
        self.meta_tensors.setdefault("paged_kv_indices_snapshot", None)
        self._model_tensors = {}
        self.target_cc = 90
        self.kn_graph = KNGraph(CyKNGraph(disable_fingerprint=True))
        self.kn_graph.kernel = self

    @classmethod
    def get_default_init_parameters(cls):
        return {
            "mode": "offline",
            "world_size": 1,
            "mpi_rank": 0,
            "num_workers": 1,
            "num_local_schedulers": 4,
            "meta_tensors": {},
        }

    def attach_input(self, torch_tensor, name=None):
        dims, strides = tuple(torch_tensor.shape), tuple(torch_tensor.stride())
        t = self.kn_graph.new_input(dims, strides, from_torch(torch_tensor.dtype))
        self.kn_graph.attach_torch_tensor(t, torch_tensor, name)
        self._model_tensors[name] = torch_tensor
        self.kn_graph.attach_torch_tensor(t, torch_tensor, name.replace(".", "_"))
        return t

    def new_tensor(self, dims, strides=None, dtype=bfloat16, name=None, io_category="cuda_tensor"):
        t = self.kn_graph.new_input(dims=dims, strides=strides, dtype=dtype)
        self.kn_graph.attach_cuda_tensor(t, name.replace(".", "_"))
        return t

    def shuffle_tensors(self, inputs, shuffled_dim, num_groups, name=None):
        return self.kn_graph.shuffle_tensors(inputs, shuffled_dim, num_groups, name)

    def rmsnorm_layer(self, input, weight, output, grid_dim, block_dim):
        fault("rmsnorm_layer")
        tb = TBGraph(CyTBGraph(grid_dim, block_dim, 1, 64))
        tb.new_input(input, (0, -1, -1), -1, True)
        tb.new_input(weight, (-1, -1, -1), -1, True)
        tb.new_input(output, (0, -1, -1), -1, True)
        self.kn_graph.customized([input, weight, output], tb)
        self.kn_graph.register_task(tb, "rmsnorm_hopper", [])

    def _save_kernel_metadata(self, path):
        with open(path, "w") as file:
            json.dump({"cuda_cc": self.target_cc}, file)

    def compile(self, **kwargs):
        assert not self._is_compiled
        fault("compile")
        root, include, _ = get_key_paths()
        temporary = tempfile.TemporaryDirectory()
        results = self.kn_graph.generate_task_graph(
            num_gpus=self.world_size, my_gpu_id=self.mpi_rank
        )
        source = os.path.join(temporary.name, "test.cu")
        with open(source, "w") as file:
            file.write(results["cuda_code"] + HARD_CODE)
        cc = shutil.which("nvcc")
        if cc is None:
            raise RuntimeError("nvcc not found. Please make sure you have installed CUDA.")
        output = os.path.join(temporary.name, "test.so")
        subprocess.check_call([cc, source, "-O3", f"-I{include}", "-o", output, "-arch=native"])
        raise AssertionError("nothing is loaded here")

    def init(self):
        self.init_func([], 1, [], "")

    def load_mpk_kernel(self, output_dir):
        self.init_func([], 1, [], "")

    def __call__(self, **kwargs):
        raise AssertionError("nothing is launched here")

    def run_test_mode(self):
        raise AssertionError("nothing is launched here")

    def finalize(self):
        if self._is_compiled:
            self.finalize_func()
