"""What a kernel changed of a tensor, kept small: flat positions and values, or all of it."""

import torch


def packed(name, before, after):
    """Entries of a file of tensors; none where nothing changed."""
    old, new = _bits(before), _bits(after)
    places = (old != new).any(1).nonzero().squeeze(1)
    if not len(places):
        return {}
    if 2 * len(places) > len(new):
        return {name: after.contiguous()}
    values = after.contiguous().view(-1)[places]
    return {f"{name}@": places.int(), f"{name}=": values}


def unpacked(name, before, entries):
    """The tensor after the kernel, dense."""
    if name in entries:
        return entries[name]
    after = before.contiguous().clone()
    if f"{name}@" in entries:
        after.view(-1)[entries[f"{name}@"].long()] = entries[f"{name}="]
    return after


def _bits(tensor):
    """(elements, bytes of one)."""
    return tensor.contiguous().view(-1, 1).view(torch.uint8)
