"""Layer by layer and target by target against Mirage's own methods, on random arguments.

the same arguments --> our row of the table       --> log, exception, kernel attributes
                   \\-> Mirage's method (upstream) --> the same
"""

import random
from types import SimpleNamespace

import pytest

from mpkgraph.errors import PipelineError
from mpkgraph.pipeline import PersistentKernel, Target, exception_text, use_target
from mpkgraph.pipeline.layers import LAYERS
from mpkgraph.pipeline.layers.checks import Ranks
from tests.pipeline import upstream

CCS = (80, 86, 89, 90, 100, 103, 110, 120)
EXAMPLES = 30
SIZES = (1, 2, 4, 8, 64, 128)
PAGES, PAGE_SIZE, KV_HEADS, HEAD_DIM = 4, 2, 8, 64

needs_mirage = pytest.mark.skipif(
    upstream.source_folder() is None, reason="MIRAGE_HOME is not a Mirage source tree"
)

SHAPES = {
    "k_cache": (PAGES, PAGE_SIZE, KV_HEADS, HEAD_DIM),
    "v_cache": (PAGES, PAGE_SIZE, KV_HEADS, HEAD_DIM),
    "q_norm": (HEAD_DIM,),
    "k_norm": (HEAD_DIM,),
    "cos_pos_embed": (32, HEAD_DIM),
    "sin_pos_embed": (32, HEAD_DIM),
}
TUPLES = {
    "attention_params": (2, 2),
    "mla_params": (2, 3, 5, 5, 5, 5, 5, 6, 6),
}
OPTIONAL = ("q_norm", "k_norm", "cos_pos_embed", "sin_pos_embed")


class Arguments:
    """Random arguments for a row, mostly such that it accepts them."""

    def __init__(self, seed, spec, kernels):
        self.random = random.Random(seed)
        self.spec = spec
        self.kernels = kernels
        self.clean = self.random.random() < 0.5
        self.last_dims = ()
        self.ranks = {}
        for step in spec.steps:
            if isinstance(step, Ranks):
                self.ranks.update(step.ranks)

    def __iter__(self):
        """(ours, theirs) of keyword arguments."""
        values = {x.name: self.value(x) for x in self.spec.parameters}
        return iter([{k: v[side] for k, v in values.items()} for side in (0, 1)])

    def odd(self, chance):
        return not self.clean and self.random.random() < chance

    def value(self, param):
        if param.annotation == "DTensor":
            return self.tensor(param.name)
        if param.annotation.startswith("tuple[DTensor"):
            count = param.annotation.count("DTensor") + self.odd(0.1)
            if self.odd(0.05):
                return self.both(None)
            pairs = [self.tensor(name) for name in self.names(param.name, count)]
            return tuple(zip(*pairs, strict=True))
        if param.name in TUPLES:
            count = self.random.choice(TUPLES[param.name])
            number = self.both(3) if self.odd(0.03) else None
            return number or self.both(tuple(self.number() for _ in range(count)))
        if param.name in {"grid_dim", "block_dim"}:
            return self.both(self.grid(param.name))
        if param.annotation.endswith("Config"):
            method = "lookahead" if self.odd(0.2) else "promptlookup"
            fields = {"method": method, "ngram_size": self.number(), "spec_length": 3}
            return self.both(None if self.odd(0.1) else SimpleNamespace(**fields))
        if param.annotation == "str":
            return self.both("some_task")
        if param.annotation == "bool":
            return self.both(self.random.random() < 0.5)
        if param.name == "num_heads":
            return self.both(self.random.choice((16, 32, 64)))
        if param.name == "q_len_real" and param.default is None:
            return self.both(self.random.choice((None, 3)))
        return self.both(self.number())

    def names(self, parameter, count):
        """Ranks of a tuple's tensors are declared under names of their own."""
        for step in self.spec.steps:
            if getattr(step, "parameter", None) == parameter:
                return [*step.names, "extra"][:count]
        raise AssertionError(parameter)

    def both(self, value):
        return (value, value)

    def number(self):
        if self.odd(0.1):
            return self.random.choice((None, "4", 2.5, 0, -3, 2**40, True))
        return self.random.choice((1, 2, 3, 4, 7, 8, 32, 4096))

    def grid(self, name):
        if name == "grid_dim" and self.random.random() < 0.5:
            return (4, KV_HEADS, 1)
        grid = tuple(self.random.choice((1, 2, 4, 8)) for _ in range(3))
        if self.odd(0.2):
            return self.random.choice(
                (list(grid), grid[:2], (), None, 4, (2.0, 4.5, 1), (1, -1, 1))
            )
        return grid

    def tensor(self, name):
        if name in OPTIONAL and self.random.random() < 0.3:
            return self.both(None)
        if self.odd(0.04):
            return self.both(self.random.choice((None, 3, "x")))
        if name in SHAPES and not self.odd(0.1):
            dims = SHAPES[name]
        else:
            rank = self.ranks.get(name, self.random.choice((1, 2, 3)))
            if self.odd(0.1):
                rank = self.random.choice((1, 2, 3, 4))
            dims = tuple(self.random.choice(SIZES) for _ in range(rank))
            if (
                name == "output"
                and self.last_dims
                and self.spec.method == "identity_layer"
                and not self.odd(0.2)
            ):
                dims = self.last_dims
        self.last_dims = dims
        return tuple(x.new_tensor(dims=dims, name=f"t{name}") for x in self.kernels)


def kernel_of(kind):
    parameters = PersistentKernel.get_default_init_parameters()
    parameters |= {
        "test_mode": True,
        "max_num_pages": PAGES,
        "page_size": PAGE_SIZE,
        "max_num_batched_requests": 4,
        "world_size": current["world_size"],
        "mpi_rank": current["rank"],
    }
    return kind(**parameters)


current = {"world_size": 1, "rank": 0}


def outcome(kernel, method, arguments):
    error = None
    try:
        result = getattr(kernel, method)(**arguments)
    except Exception as raised:  # noqa: BLE001  compared
        error = result = raised
    recorder = kernel.kn_graph.cygraph.recorder
    record = recorder.record(target_cc=0, init={}).to_json()
    return SimpleNamespace(
        error=error,
        log=record["log"],
        result=getattr(result, "guid", None),
        attributes={
            name: getattr(kernel, name, None)
            for name in ("argmax_partial_output_size", "allocate_nvshmem_teams")
        },
    )


@needs_mirage
@pytest.mark.parametrize("cc", CCS)
@pytest.mark.parametrize("spec", LAYERS, ids=lambda spec: spec.method)
def test_does_what_the_method_does(spec, cc):
    theirs, reset = upstream.upstream_kernel()
    accepted = 0
    for seed in range(EXAMPLES):
        world_size = 1 + seed % 2
        current.update(world_size=world_size, rank=seed % 4 // 2 * (world_size - 1))
        target = Target(
            cc=cc,
            world_size=world_size,
            rank=current["rank"],
            multicast=seed % 3 > 0,
            peer_access=seed % 5 > 0,
        )
        with use_target(target):
            reset()
            kernels = (kernel_of(PersistentKernel), kernel_of(theirs))
            arguments = Arguments(f"{spec.method}{seed}", spec, kernels)
            if spec.method == "argmax_reduce_layer" and seed % 4:
                for kernel in kernels:
                    kernel.argmax_partial_output_size = 77
            ours_in, theirs_in = arguments
            ours = outcome(kernels[0], spec.method, ours_in)
            if type(ours.error) is PipelineError:
                continue  # Mirage's core would die
            expected = outcome(kernels[1], spec.method, theirs_in)
        assert ours.error is None or isinstance(ours.error, PipelineError), ours.error
        assert (ours.error is None) == (expected.error is None), (ours_in, ours, expected)
        if ours.error is not None:
            assert exception_text(ours.error) == exception_text(expected.error), ours_in
            assert isinstance(ours.error, plain_type(expected.error))
        accepted += ours.error is None
        assert ours.log == expected.log, ours_in
        assert ours.result == expected.result or ours.error
        assert ours.attributes == expected.attributes
    if spec.tasks_on(cc):
        assert accepted >= 2


def plain_type(error):
    """The type that Mirage's Python raises, below ours where our graph classes raised."""
    return next(x for x in type(error).__mro__ if not x.__module__.startswith("mpkgraph"))
