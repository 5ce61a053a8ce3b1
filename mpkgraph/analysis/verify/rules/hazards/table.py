"""The rules about hazards: what is found, why it matters, what to do."""

from __future__ import annotations

from mpkgraph.analysis.verify.rule import Rule

# -- Pairs of operators --

UNORDERED_READ = Rule(
    code="MPK201",
    name="unordered-read",
    severity="error",
    summary="A task reads what an earlier layer writes, and no event makes it wait for that",
    why="The reader may run before the writer, and then reads what was there before. Tasks are "
    "ordered through events alone; what usually happens first need not, on another GPU or when one "
    "task is slow.",
    remedy="Make the reader wait: let its first input that has a producer be one whose event "
    "covers all writers, choose grids of which one divides the other, or put a layer between "
    "that reads the whole tensor.",
)
OVERWRITTEN_WHILE_READ = Rule(
    code="MPK202",
    name="overwritten-while-read",
    severity="error",
    summary="A later layer overwrites a buffer that an earlier one may still read",
    why="Mirage orders a reader after the last writer of its input, and never a writer after "
    "earlier readers. A buffer that is used again is safe only if the new writer waits, through "
    "other tensors, for all readers of the old content.",
    remedy="Give the later layer a buffer of its own, or let it depend on what the reader writes.",
)
UNORDERED_WRITES = Rule(
    code="MPK203",
    name="unordered-writes",
    severity="error",
    summary="Two layers write the same bytes, and no event says which comes last",
    why="Mirage orders readers after the last writer that it saw, and never writers among each "
    "other. Which content stays depends on timing.",
    remedy="Write to two buffers, or let the later layer read what the earlier one writes.",
)
SIBLING_WRITES = Rule(
    code="MPK204",
    name="sibling-writes",
    severity="error",
    summary="Tasks of one layer do different work and write the same bytes",
    why="Tasks of one layer run in any order, at once. The output's input_map does not split what "
    "the grid splits elsewhere, so that the last task to finish wins.",
    remedy="Map every grid axis that splits an input to a dim of the output as well.",
)
SIBLING_READ = Rule(
    code="MPK205",
    name="sibling-overwrites",
    severity="error",
    summary="A task reads in place what another task of its layer overwrites",
    why="In place is safe only where each task reads no more of the tensor than the tile that it "
    "writes itself. Otherwise it sees a mixture of old and new content.",
    remedy="Write to another tensor than is read.",
)
STRIPPED_EDGE = Rule(
    code="MPK206",
    name="stripped-edge",
    severity="error",
    summary="A dependence was dropped for a longer path that does not cover it",
    why="Mirage drops the edge between two layers when another path leads from the first to the "
    "second, whatever tiles the path follows. A reader of more than the path's tiles starts when "
    "only its own part of the chain is complete.",
    remedy="Let the layer on the path read the whole tensor (or have a grid that makes it wait for "
    "all), or give the second reader a copy.",
)
FIRST_EDGE_ONLY = Rule(
    code="MPK207",
    name="first-edge-only",
    severity="error",
    summary="A layer waits by the tiles of its first tensor, and reads more of another",
    why="Between two layers Mirage makes events for the first tensor alone that one reads from the "
    "other. What the reader needs of further tensors is not looked at.",
    remedy="Put the input that is read most widely first, or map both inputs alike.",
)
UNDECLARED_WRITE = Rule(
    code="MPK208",
    name="undeclared-write",
    severity="error",
    summary="A kernel writes a tensor that its layer declares as an input; readers do not wait",
    why="Mirage makes events for declared outputs alone. Nothing waits for what a kernel writes "
    "through an input slot, so that a reader may run before it.",
    remedy="Let the reader depend on the writer through a declared output, a small one if need be.",
)
READ_BEFORE_WRITER = Rule(
    code="MPK209",
    name="read-before-writer",
    severity="error",
    summary="A layer that reads a tensor is called before the only layers that write it",
    why="Mirage binds an input to the last layer before it that wrote the tensor. A reader that "
    "comes first waits for nobody, and reads old memory, or new, as it happens.",
    remedy="Call the layer that writes before the one that reads.",
)

# -- Memory --

UNINITIALISED_READ = Rule(
    code="MPK210",
    name="uninitialised-read",
    severity="error",
    summary="A layer reads bytes of a new tensor that nothing has written",
    why="Memory of new_tensor is allocated and not cleared: the reader gets what was there, NaN "
    "perhaps.",
    remedy="Write the whole of what is read first: choose a grid that divides the writer's output, "
    "or clear the tensor.",
    needs_record=True,
)
UNREAD_WRITE = Rule(
    code="MPK211",
    name="unread-write",
    severity="warning",
    summary="A layer writes a new tensor that nothing reads",
    why="Nobody outside can see a new_tensor either. The work is for nothing, or a reader was "
    "given another tensor by mistake.",
    remedy="Leave the layer out, or give its reader this tensor.",
    needs_record=True,
)
OWN_WRITES = Rule(
    code="MPK212",
    name="one-buffer-twice",
    severity="error",
    summary="One task writes the same bytes through two of its slots",
    why="The kernel keeps two results apart and was given one place for both: what is written "
    "first is lost, or the two are mixed.",
    remedy="Give each written slot of the layer a tensor of its own.",
)

PAIR_RULES = (
    UNORDERED_READ,
    OVERWRITTEN_WHILE_READ,
    UNORDERED_WRITES,
    STRIPPED_EDGE,
    FIRST_EDGE_ONLY,
    UNDECLARED_WRITE,
    READ_BEFORE_WRITER,
)
SIBLING_RULES = (SIBLING_WRITES, SIBLING_READ)
OWN_RULES = (OWN_WRITES,)
MEMORY_RULES = (UNINITIALISED_READ, UNREAD_WRITE)
