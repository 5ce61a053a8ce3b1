"""Which device a script believes that a tensor is on.

A tensor asked for on a GPU has its memory on the CPU, or none (`meta`). What the script sees of
its device has to stay consistent: through views, `nn.Parameter` and operations. So the belief is
kept by storage, which views and parameters share, and operations hand it from inputs to outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch

FIRST_ADDRESS = 0x7F00_0000_0000
"""Where addresses of tensors without memory begin; a GPU's usually do."""

ADDRESS_ALIGNMENT = 512
"""Of CUDA's caching allocator, in bytes."""


class Claims:
    """Devices by storage. A storage without a claim is where it says it is."""

    def __init__(self) -> None:
        self._devices: dict[int, tuple[torch.device, int]] = {}
        self._addresses: dict[int, int] = {}
        self._unknown: set[int] = set()
        self._next_address = FIRST_ADDRESS
        self._clock = 0

    def device(self, tensor: torch.Tensor) -> torch.device | None:
        """What was claimed for a tensor; None where nothing was."""
        key = storage_key(tensor)
        claimed = None if key is None else self._devices.get(key)
        return None if claimed is None else claimed[0]

    def claim(self, tensor: torch.Tensor, device: torch.device | None) -> None:
        """Claim a device for a tensor's storage; None takes a claim back."""
        key = storage_key(tensor)
        if key is None:
            return
        # Addresses of storages are used again: what is known of an earlier one goes.
        self._addresses.pop(key, None)
        self._unknown.discard(key)
        if device is None:
            self._devices.pop(key, None)
            return
        self._devices[key] = (device, self.tick())

    def tick(self) -> int:
        """A number greater than those of all claims so far."""
        self._clock += 1
        return self._clock

    def hand_on(
        self,
        inputs: Iterable[torch.Tensor],
        outputs: Iterable[torch.Tensor],
        device: torch.device | None,
        since: int,
    ) -> None:
        """Claim for new storages the device that was asked for, else that of a GPU's input.

        `since` is the tick before the operation: claims made within it stay.
        """
        given = list(inputs)
        old = {storage_key(tensor) for tensor in given}
        claimed = device or next(filter(_is_gpu, map(self.device, given)), None)
        for tensor in outputs:
            key = storage_key(tensor)
            if key is None or key in old or self._devices.get(key, (None, 0))[1] > since:
                continue
            self.claim(tensor, claimed)

    def lose_values(self, tensor: torch.Tensor) -> None:
        """A tensor with memory was written from one without: what it holds means nothing."""
        key = storage_key(tensor)
        if key is not None:
            self._unknown.add(key)

    def has_values(self, tensor: torch.Tensor) -> bool:
        return not tensor.is_meta and storage_key(tensor) not in self._unknown

    def address(self, tensor: torch.Tensor) -> int:
        """A stable address for a tensor that has no memory."""
        key = storage_key(tensor)
        if key is None:
            return 0
        if key not in self._addresses:
            self._addresses[key] = self._next_address
            blocks = -(-max(tensor.untyped_storage().nbytes(), 1) // ADDRESS_ALIGNMENT)
            self._next_address += blocks * ADDRESS_ALIGNMENT
        offset = tensor.storage_offset() * tensor.element_size()
        return self._addresses[key] + int(offset)


def tensors_in(value: Any, depth: int = 2) -> Iterator[torch.Tensor]:
    """The tensors of an argument list or a result, lists and tuples opened."""
    if isinstance(value, torch.Tensor):
        yield value
    elif depth and isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item, depth - 1)
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item, depth - 1)


def storage_key(tensor: torch.Tensor) -> int | None:
    """Identity of a tensor's storage; None for those that have none (sparse, wrapped)."""
    try:
        return int(tensor.untyped_storage()._cdata)  # noqa: SLF001  its only identity on meta
    except (NotImplementedError, RuntimeError):
        return None


def _is_gpu(device: torch.device | None) -> bool:
    return device is not None and device.type == "cuda"
