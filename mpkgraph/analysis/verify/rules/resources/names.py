"""Names of tensors, which become variables of the generated C++."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from mpkgraph.analysis.verify.context import VerifyContext
from mpkgraph.analysis.verify.finding import Finding
from mpkgraph.analysis.verify.rule import CheckRow, Rule

BAD_NAME = Rule(
    "MPK441",
    "bad-name",
    "error",
    "a tensor whose name is no C++ identifier",
    "Each tensor becomes a C++ variable of its name; nvcc refuses the generated code.",
    "Give attach_input a name of letters, digits and underscores.",
)
DUPLICATE_NAME = Rule(
    "MPK442",
    "duplicate-name",
    "error",
    "two tensors of one name",
    "Each tensor becomes a C++ variable of its name: nvcc refuses two of one name. In the graph "
    "their tiles can't be told apart.",
    "Give each tensor a name of its own.",
)

_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl const
const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit
export extern false float for friend goto if inline int long mutable namespace new noexcept not
not_eq nullptr operator or or_eq private protected public register reinterpret_cast return short
signed sizeof static static_assert static_cast struct switch template this thread_local throw true
try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
CPP_KEYWORDS = frozenset(_KEYWORDS.split())


def check_names(context: VerifyContext) -> Iterator[Finding]:
    """All tensors of the record; without one the names that the graph shows."""
    record = context.record
    if record is None:
        names = Counter({x.base_ptr for x in context.graph.layouts if not x.is_null})
    else:
        # The generated code looks parts of a shuffled tensor up by name, without a variable
        parts = {
            ref.tensor
            for call in record.calls.values()
            if call.op == "shuffle_tensors"
            for ref in call.inputs or ()
        }
        names = Counter(x.base_ptr for x in record.tensors if x.id not in parts)
    for name, count in names.items():
        if not name.isidentifier() or name in CPP_KEYWORDS:
            yield Finding(
                BAD_NAME,
                f"tensor {name!r} becomes a C++ variable of that name, which nvcc refuses",
                context.location(tensor=name),
                f"Name it {_clean(name)!r}",
                count_of="tensors",
            )
        if count > 1:
            yield Finding(
                DUPLICATE_NAME,
                f"{count} tensors are named {name!r}: the generated C++ declares it {count} times",
                context.location(tensor=name),
                "Give each tensor a name of its own",
                count=count,
                count_of="tensors",
            )


def _clean(name: str) -> str:
    clean = re.sub(r"\W", "_", name)
    return clean if clean.isidentifier() and clean not in CPP_KEYWORDS else f"t_{clean}"


CHECKS: tuple[CheckRow, ...] = (CheckRow(check_names, (BAD_NAME, DUPLICATE_NAME)),)
