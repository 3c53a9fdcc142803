"""Kernels of the score-based heuristics: best node of each observed row. They read observations, never a state."""

from __future__ import annotations

import numpy as np

from archrl.cluster import scores
from archrl.cluster.jit import inlined, kernel
from archrl.cluster.layout import borrowed
from archrl.cluster.observed import change_of, note_changes, shape_index

FGD = scores.FGD


@kernel
def pick(values, mask, uniform):  # type: ignore[no-untyped-def]
    """Index of the largest value among masked-in entries; the reject action (last) when there is none.

    `uniform` < 0: the lowest index among ties; otherwise the one at that quantile of the ties.
    """
    best, count, where = -np.inf, 0, len(values)
    for n in range(len(values)):
        if mask[n] == 0:
            continue
        if values[n] > best:
            best, count, where = values[n], 1, n
        elif values[n] == best:
            count += 1
    if uniform < 0.0 or count < 2:
        return where
    wanted = min(int(uniform * count), count - 1)
    for n in range(where, len(values)):
        if mask[n] != 0 and values[n] == best:
            if wanted == 0:
                return n
            wanted -= 1
    return where


@inlined
def _borrowed(seen):  # type: ignore[no-untyped-def]
    nodes, request, clock, mask = seen
    return borrowed(nodes), borrowed(request), borrowed(clock), borrowed(mask)


@kernel
def choose_rows(form, seen, uniform, out):  # type: ignore[no-untyped-def]
    """Best node of every row by a rule other than FGD.

    `form` is (index into `scores.RULES`, integer), `seen` the observed (nodes, request, clock, mask), each with leading
    axis B; `uniform` (B,) as in `pick`.
    """
    rule, integer = form
    nodes, request, clock, mask = _borrowed(seen)
    values = np.empty(nodes.shape[1])
    for b in range(len(out)):
        table, req, now_s, allowed = nodes[b], request[b], clock[b, 0], mask[b]
        for n in range(len(table)):
            if allowed[n]:
                values[n] = scores.score(rule, table[n], req, now_s, 0.0, integer)
        out[b] = pick(values, allowed, uniform[b])


@kernel
def fgd_rows(integer, seen, uniform, mix, out):  # type: ignore[no-untyped-def]
    """FGD's node of every row, computed afresh."""
    nodes, request, clock, mask = _borrowed(seen)
    values = np.empty(nodes.shape[1])
    for b in range(len(out)):
        for n in range(nodes.shape[1]):
            if mask[b, n]:
                change = change_of(nodes[b, n], request[b], mix, integer)
                values[n] = scores.score(FGD, nodes[b, n], request[b], clock[b, 0], change, integer)
        out[b] = pick(values, mask[b], uniform[b])


@kernel
def fgd_rows_cached(integer, seen, uniform, mix, cache, out):  # type: ignore[no-untyped-def]
    """As `fgd_rows` on whole node tables, recomputing only nodes that changed since the same kind of request.

    The cache is keyed by content: a node counts as changed when the observation shows other free resources.
    """
    nodes, request, _, mask = _borrowed(seen)
    shapes, entered, last, version, score, stamp = cache
    for b in range(len(out)):
        note_changes(nodes[b], borrowed(last)[b], version[b])
        k = shape_index(request[b], 0.0, shapes, entered)
        for n in range(nodes.shape[1]):
            if mask[b, n] and stamp[b, k, n] != version[b, n]:
                change = change_of(nodes[b, n], request[b], mix, integer)
                value = scores.fgd(change)
                score[b, k, n] = np.floor(value) if integer else value
                stamp[b, k, n] = version[b, n]
        out[b] = pick(score[b, k], mask[b], uniform[b])
