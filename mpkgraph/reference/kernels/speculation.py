"""Speculative decoding: multi-token prediction and prompt lookup.

Kernels take the elements for fixed types, whatever was declared, and most do row 0 alone.
"""

from __future__ import annotations

import torch

from mpkgraph.reference.call import TaskCall
from mpkgraph.reference.kernels.memory import as_type, flat
from mpkgraph.reference.tiles import one_by_one

NOT_FOUND = 2**63 - 1
NO_TOKEN = -1
THREADS = 128
MULTIPLIER, INCREMENT = 6364136223846793005, 1442695040888963407
"""Of the generator of the probabilistic verification."""
WORD = 2**64


def _flat(call: TaskCall, view: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return flat(call, as_type(view, dtype))


def _tokens(call: TaskCall, view: torch.Tensor) -> torch.Tensor:
    return _flat(call, view, torch.int64)


def _counts(call: TaskCall, view: torch.Tensor) -> torch.Tensor:
    return _flat(call, view, torch.int32)


def verify_strict(call: TaskCall) -> None:
    """Accept drafts up to the first that differs from the target's token, and that token.

    Inputs draft (N,), target (N + 1,); outputs the count (at least 1) and so many tokens. N is
    param 0.
    """
    drafts = _tokens(call, call.input(0))[: call.param(0)]
    target = _tokens(call, call.input(1))
    count = _matching(drafts, target) + 1
    _counts(call, call.output(0))[0] = count
    _tokens(call, call.output(1))[:count] = target[:count]


def verify_probabilistic(call: TaskCall) -> None:
    """Accept a draft while `p_target > u * p_draft`; then the target's token.

    A draft of probability 0 must be the target's token. `u` are from a generator that the seed
    starts anew each time. Inputs draft, target tokens, their probabilities, seed.
    """
    drafts, target = _tokens(call, call.input(0)), _tokens(call, call.input(1))
    p_target = _flat(call, call.input(2), torch.float32)
    p_draft = _flat(call, call.input(3), torch.float32)
    state = int(_tokens(call, call.input(4))[0]) % WORD
    accepted = 0
    for i in range(call.param(0)):
        if p_draft[i] == 0:
            is_accepted = bool(drafts[i] == target[i])
        else:
            state = (state * MULTIPLIER + INCREMENT) % WORD
            uniform = torch.tensor(state >> 33, dtype=torch.float32) / 2.0**31
            is_accepted = bool(p_target[i] > uniform * p_draft[i])
        if not is_accepted:
            break
        accepted += 1
    out = _tokens(call, call.output(1))
    out[:accepted] = drafts[:accepted]
    out[accepted] = target[accepted]
    _counts(call, call.output(0))[0] = accepted + 1


def accept_commit(call: TaskCall) -> None:
    """The position moves on by the count; tokens and count are handed on.

    Inputs count, tokens, position; outputs position, tokens, count. Counts and positions are
    int32.
    """
    count = int(_counts(call, call.input(0))[0])
    position = _counts(call, call.input(2))[0]
    tokens = _tokens(call, call.input(1))
    _counts(call, call.output(0))[0] = position + count
    _counts(call, call.output(2))[0] = count
    copied = min(count, call.param(0) + 1)
    _tokens(call, call.output(1))[:copied] = tokens[:copied]


def token_scatter(call: TaskCall) -> None:
    """`out[b, slot] = x[b]` of int64. Params: rows, slots, slot."""
    _scatter(call, torch.int64)


def float_scatter(call: TaskCall) -> None:
    """`out[b, slot] = x[b]` of float32. Params: rows, slots, slot."""
    _scatter(call, torch.float32)


def _scatter(call: TaskCall, dtype: torch.dtype) -> None:
    rows, slots, slot = (call.param(i) for i in range(3))
    source = _flat(call, call.input(0), dtype)[:rows]
    _flat(call, call.output(0), dtype)[: rows * slots].view(rows, slots)[:, slot] = source


def prepare_verify(call: TaskCall) -> None:
    """Put the main token and the drafts of a request behind its step into the token buffer.

    Inputs main tokens, drafts (requests, N), tokens (requests, max_seq), steps; output the number
    of new tokens, `N + 1` or what room is left. Params: N, max_seq.
    """
    num_drafts, length = call.param(0), call.param(1)
    main, drafts = _tokens(call, call.input(0)), _tokens(call, call.input(1))
    buffer, steps = _tokens(call, call.input(2)), _counts(call, call.input(3))
    counts = _counts(call, call.output(0))
    for request in call.walk("request_id"):
        step = int(steps[request])
        mine = drafts[request * num_drafts : (request + 1) * num_drafts]
        tokens = torch.cat((main[request : request + 1], mine))
        room = max(length - step - 1, 0)
        start = request * length + step + 1
        written = min(len(tokens), room)
        buffer[start : start + written] = tokens[:written]
        counts[request] = written


def build_embed_input(call: TaskCall) -> None:
    """The request's tokens behind its step, and in the last row the token made just now.

    Input tokens made, output (rows,), meta tensors `tokens` and `step`. Params: rows, max_seq.
    Every request writes all rows.
    """
    rows, length = call.param(0), call.param(1)
    made, out = _tokens(call, call.input(0)), _tokens(call, call.output(0))
    tokens, steps = _tokens(call, call.meta_tensor("tokens")), call.meta_tensor("step").flatten()
    for request in call.walk("request_id"):
        places = int(steps[request]) + 1 + torch.arange(rows - 1)
        inside = places < length
        known = tokens[request * length + places.clamp(max=length - 1)]
        out[: rows - 1] = torch.where(inside, known, 0)
        out[rows - 1] = made[rows - 1]


def softmax_gather(call: TaskCall) -> None:
    """`out[b] = softmax(logits[b])[ids[b]]` in float32; 0 for an id that is out of range."""
    logits = call.input(0).double()
    rows, columns = logits.shape
    ids = _tokens(call, call.input(1))[:rows]
    is_valid = (ids >= 0) & (ids < columns)
    chosen = logits.gather(1, ids.clamp(0, columns - 1).unsqueeze(1)).squeeze(1)
    highest = logits.amax(1)
    total = torch.exp(logits - highest.unsqueeze(1)).sum(1)
    share = torch.where(is_valid, torch.exp(chosen - highest) / total, 0.0)
    _flat(call, call.output(0), torch.float32)[:rows] = share.float()


def prob_scatter(call: TaskCall) -> None:
    """`buffer[b, step[b]] = prob[b]` where the step is inside. Param 0: positions of a row."""
    length = call.param(0)
    rows = call.input(0).shape[0]
    probs = _flat(call, call.input(0), torch.float32)
    steps = _counts(call, call.input(1))[:rows].long()
    buffer = _flat(call, call.output(0), torch.float32)[: rows * length].view(rows, length)
    inside = ((steps >= 0) & (steps < length)).nonzero().squeeze(1)
    buffer[inside, steps[inside]] = probs[inside]


def prob_extract(call: TaskCall) -> None:
    """`out[b, i] = buffer[b, offset[b] + 1 + i]`, 0 outside. Params: positions, columns."""
    length, count = call.param(0), call.param(1)
    rows = call.input(0).shape[0]
    buffer = _flat(call, call.input(0), torch.float32)[: rows * length].view(rows, length)
    offsets = _counts(call, call.input(1))[:rows].long()
    places = offsets.unsqueeze(1) + 1 + torch.arange(count)
    inside = (places >= 0) & (places < length)
    taken = buffer.gather(1, places.clamp(0, length - 1))
    out = _flat(call, call.output(0), torch.float32)[: rows * count].view(rows, count)
    out.copy_(torch.where(inside, taken, 0.0))


@one_by_one
def find_ngram_partial(call: TaskCall) -> None:
    """Where the last n tokens stood before, first in this task's share; 2**63 - 1 for nowhere.

    Input tokens (1, length), output one element; param 0 is n. Tasks along x take blocks of 128
    places by turns. Nothing is written while there are no more than n tokens.
    """
    size = call.param(0)
    length = int(call.meta_tensor("step").flatten()[0]) + 1
    if length <= size:
        return
    tokens = _tokens(call, call.input(0))[:length]
    starts = torch.arange(length - size)
    mine = starts // THREADS % call.grid_dim[0] == call.grid_position[0]
    equal = (tokens.unfold(0, size, 1)[: length - size] == tokens[length - size :]).all(1)
    found = starts[equal & mine]
    place = int(found[0]) if len(found) else NOT_FOUND
    call.output(0)[(0,) * call.output(0).dim()] = place


def find_ngram_global(call: TaskCall) -> None:
    """The current token, and the K tokens that followed where the last n stood first.

    Inputs places (1, tasks), tokens; output (K + 1,), -1 where there is none. Params: n, K.
    """
    size, count = call.param(0), call.param(1)
    step = int(call.meta_tensor("step").flatten()[0])
    place = int(call.input(0).min())
    tokens, out = _tokens(call, call.input(1)), _tokens(call, call.output(0))
    out[0] = tokens[step]
    drafts = torch.full((count,), NO_TOKEN)
    if place != NOT_FOUND:
        known = tokens[place + size : min(place + size + count, step + 1)]
        drafts[: len(known)] = known
    out[1 : count + 1] = drafts


def verify_greedy(call: TaskCall) -> None:
    """Accept drafts that are the target's tokens, and the target's next, into `tokens`.

    Inputs the current token and K drafts, K + 1 target tokens. Results go to the meta tensors
    `tokens` (behind the step) and `num_new_tokens`; the declared output is left alone.
    """
    drafts, target = _tokens(call, call.input(0))[1:], _tokens(call, call.input(1))
    step = int(call.meta_tensor("step").flatten()[0])
    count = _matching(drafts, target) + 1
    _tokens(call, call.meta_tensor("tokens"))[step + 1 : step + 1 + count] = target[:count]
    _counts(call, call.meta_tensor("num_new_tokens"))[0] = count


def _matching(drafts: torch.Tensor, target: torch.Tensor) -> int:
    """So many leading drafts are the target's tokens."""
    equal = drafts == target[: len(drafts)]
    return int(equal.long().cumprod(0).sum())
