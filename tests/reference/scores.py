"""The heuristics' scores of one node for the current request, in plain Python on top of `ReferenceEpisode`.

Written from the documented rules, on the model's own quantities (milli-cores, milli-GPU, live requests), not on the
observed table. `integer` rounds down as the published policies do.
"""

from __future__ import annotations

import math

from tests.reference.placement import WHOLE, ReferenceEpisode

REFERENCE_CPU, REFERENCE_GPU = 128_000, 8_000


def first_fit(model: ReferenceEpisode, node: int, integer: bool) -> float:
    return 0.0


def best_fit(model: ReferenceEpisode, node: int, integer: bool) -> float:
    want = model.spec(model.cursor)
    cpu_left = model.cpu_free(node) - want["cpu"]
    gpu_left = sum(model.gpu_free(node)) - want["gpus"] * want["milli"]
    return _round(100.0 * (1.0 - (0.5 * cpu_left / REFERENCE_CPU + 0.5 * gpu_left / REFERENCE_GPU)), integer)


def worst_fit(model: ReferenceEpisode, node: int, integer: bool) -> float:
    return _round(100.0 - best_fit(model, node, False), integer)


def dot_product(model: ReferenceEpisode, node: int, integer: bool) -> float:
    want = model.spec(model.cursor)
    cpu = model.cpu_free(node) / REFERENCE_CPU * want["cpu"] / REFERENCE_CPU
    gpu = sum(model.gpu_free(node)) / REFERENCE_GPU * want["gpus"] * want["milli"] / REFERENCE_GPU
    return _round(100.0 * (1.0 - (cpu + gpu) / 2.0), integer)


def gpu_packing(model: ReferenceEpisode, node: int, integer: bool) -> float:
    """On a GPU in use: 100 less a tenth of what is free on the tightest one, in percent, at least 50.

    On empty GPUs of a node in use: 50 less the GPUs asked for, at least a third of 100. On a node without any GPU in
    use: a third less its GPUs.
    """
    want, count = model.spec(model.cursor), int(model.scenario.nodes.gpu_count[node])
    if want["gpus"] == 0:
        return 0.0
    third = 33 if integer else 100 / 3
    free = model.gpu_free(node)[:count]
    empty = free.count(WHOLE)
    if empty == count:
        return max(third - empty, empty)
    tightest = min(f for f in free if f >= want["milli"])
    if tightest == WHOLE:
        return max(50 - want["gpus"], third)
    percent = tightest / WHOLE * 100
    return max(100 - (math.floor(math.floor(percent) / 10) if integer else percent / 10), 50)


def gpu_clustering(model: ReferenceEpisode, node: int, integer: bool) -> float:
    want = model.spec(model.cursor)
    if want["gpus"] == 0:
        return 0.0
    own = model.size_class(model.cursor)
    kinds = {model.size_class(r) for r in model.hosted(node)} - {0}
    bonus = 25.0 if not kinds else 75.0 if kinds == {own} else 50.0 if own in kinds else 0.0
    return bonus + _round(25.0 * (REFERENCE_GPU - sum(model.gpu_free(node))) / REFERENCE_GPU, integer)


def fgd(model: ReferenceEpisode, node: int, integer: bool) -> float:
    return _round(100.0 / (1.0 + math.exp(model.fgd_change(node, model.cursor) / 1000.0)), integer)


def lifetime_alignment(model: ReferenceEpisode, node: int, integer: bool) -> float:
    leaves = model.now + float(model.scenario.predicted_lifetime_s[model.cursor])
    extension = max(0.0, leaves - max(model.empty_at.get(node, 0.0), model.now))
    return best_fit(model, node, False) - extension


def _round(value: float, integer: bool) -> float:
    return float(math.floor(value)) if integer else value


REFERENCE_SCORES = {
    "first_fit": first_fit,
    "best_fit": best_fit,
    "worst_fit": worst_fit,
    "dot_product": dot_product,
    "gpu_packing": gpu_packing,
    "gpu_clustering": gpu_clustering,
    "fgd": fgd,
    "lifetime_alignment": lifetime_alignment,
}
