"""Exhaustive search over every decision and every choice of GPU slots, from the rules of the environment in words.

Shares no code with archrl. A node holds a request if CPU, memory, GPU slots, GPU type and the limit of the request's
group allow it at the moment of arrival; requests that depart up to that moment have left. A node costs its price for
every hour, up to the end of the episode, in which it holds a request. A rejected request costs its value. With
`forced`, a request of priority 1 may be rejected only if it fits nowhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from archrl.scenarios.placement import PlacementScenario

Placed = tuple[int, tuple[int, ...]]
"""Node and slots."""


def cheapest(story: PlacementScenario, forced: bool = False) -> float:
    """Cost of the best sequence of decisions, $."""
    return min(cost for cost, _ in every_outcome(story, forced))


def every_outcome(story: PlacementScenario, forced: bool = False) -> Iterator[tuple[float, dict[int, Placed]]]:
    """Cost and placements of every sequence of decisions; slots that are equally full count as one choice."""

    def decide(i: int, placed: dict[int, Placed]) -> Iterator[tuple[float, dict[int, Placed]]]:
        if i == len(story):
            yield cost_of(story, placed), placed
            return
        options = list(ways(story, i, placed))
        for way in options:
            yield from decide(i + 1, placed | {i: way})
        must = forced and story.catalogue.priority[story.spec_idx[i]] == 1
        if not (must and options):
            yield from decide(i + 1, placed)

    return decide(0, {})


def ways(story: PlacementScenario, i: int, placed: dict[int, Placed]) -> Iterator[Placed]:
    """Every way to place request i when it arrives."""
    table, nodes = story.catalogue, story.nodes
    u, now = int(story.spec_idx[i]), float(story.arrival_s[i])
    for n in range(len(nodes)):
        live = {j: slots for j, (where, slots) in placed.items() if where == n and story.departure_s[j] > now}
        specs = [int(story.spec_idx[j]) for j in live]
        if sum(int(table.cpu_milli[s]) for s in [*specs, u]) > nodes.cpu_milli[n]:
            continue
        if sum(int(table.mem_mib[s]) for s in [*specs, u]) > nodes.mem_mib[n]:
            continue
        group = int(table.group_idx[u])
        if group >= 0 and sum(int(table.group_idx[s]) == group for s in specs) >= table.group_limit[u]:
            continue
        if table.gpu_count[u] == 0:
            yield n, ()
            continue
        kind, mask = int(nodes.gpu_type_idx[n]), int(table.gpu_type_mask[u])
        if kind < 0 or (mask != -1 and not mask & (1 << kind)):
            continue
        full = [0] * int(nodes.gpu_count[n])
        for j, slots in live.items():
            for g in slots:
                full[g] += int(table.gpu_milli[story.spec_idx[j]])
        seen = set()
        for slots in itertools.combinations(range(len(full)), int(table.gpu_count[u])):
            what = tuple(sorted(tuple(sorted(j for j, own in live.items() if g in own)) for g in slots))
            if what not in seen and all(full[g] + table.gpu_milli[u] <= 1000 for g in slots):
                seen.add(what)
                yield n, slots


def cost_of(story: PlacementScenario, placed: dict[int, Placed]) -> float:
    """Node-hours and rejected value, $, by the length of the union of intervals."""
    total = sum(float(story.value_usd[i]) for i in range(len(story)) if i not in placed)
    for n in range(len(story.nodes)):
        stays = [
            (float(story.arrival_s[i]), min(float(story.departure_s[i]), story.end_s))
            for i, (where, _) in placed.items()
            if where == n
        ]
        total += union_hours(stays) * float(story.nodes.node_hour_usd[n])
    return total


def union_hours(stays: list[tuple[float, float]]) -> float:
    """Hours covered by at least one interval of seconds."""
    ends = sorted({end for stay in stays for end in stay})
    covered = [b - a for a, b in itertools.pairwise(ends) if any(x <= a and b <= y for x, y in stays)]
    return float(np.sum(covered)) / 3600.0


def one_node_sets(story: PlacementScenario, node: int) -> dict[frozenset[int], float]:
    """Every set of requests that one node can serve, and its node-hours, $."""
    alone: dict[frozenset[int], float] = {}

    def decide(i: int, placed: dict[int, Placed]) -> None:
        if i == len(story):
            stays = [(float(story.arrival_s[j]), min(float(story.departure_s[j]), story.end_s)) for j in placed]
            alone[frozenset(placed)] = union_hours(stays) * float(story.nodes.node_hour_usd[node])
            return
        for way in ways(story, i, placed):
            if way[0] == node:
                decide(i + 1, placed | {i: way})
        decide(i + 1, placed)

    decide(0, {})
    return alone
