"""Short texts for tiles: ranges in elements, sizes in bytes."""

from __future__ import annotations

import math

from mpkgraph.model.graph import Slot

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def tile_range(slot: Slot, element_size: int | None) -> str:
    """The elements of its tensor that a tile covers: `[0:8, 64:128]`.

    Where offset and strides do not give a start in every dim (a type without a size, an offset
    between elements) the extents and the offset in bytes: `8x64 at byte 12`.

    >>> from mpkgraph.model.graph import SlotLayout
    >>> tile_range(Slot(SlotLayout("x", 941, (8, 64), (4096, 1)), 128), 2)
    '[0:8, 64:128]'
    """
    dims, strides = slot.dims, slot.strides
    starts = _starts(slot.offset, strides, element_size) if len(dims) == len(strides) else None
    if starts is None:
        extents = "x".join(map(str, dims)) or "scalar"
        return f"{extents} at byte {slot.offset}" if slot.offset else extents
    ranges = (f"{start}:{start + dim}" for start, dim in zip(starts, dims, strict=True))
    return f"[{', '.join(ranges)}]"


def _starts(offset: int, strides: tuple[int, ...], element_size: int | None) -> list[int] | None:
    """The element index in each dim that an offset in bytes stands for, widest stride first."""
    if not element_size or offset < 0 or offset % element_size or min(strides, default=1) < 0:
        return None
    rest = offset // element_size
    starts = [0] * len(strides)
    for dim in sorted(range(len(strides)), key=lambda dim: -strides[dim]):
        if strides[dim]:
            starts[dim], rest = divmod(rest, strides[dim])
    return None if rest else starts


def num_bytes_text(slot: Slot, element_size: int | None) -> str:
    """Size of a tile: `1.5 KiB`; nothing for a type without a size."""
    return "" if not element_size else bytes_text(math.prod(slot.dims) * element_size)


def bytes_text(num_bytes: int) -> str:
    """A number of bytes for people.

    >>> bytes_text(16), bytes_text(1536), bytes_text(64 << 20)
    ('16 B', '1.5 KiB', '64 MiB')
    """
    size, unit = float(num_bytes), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.1f}".removesuffix(".0") + f" {_UNITS[unit]}"
