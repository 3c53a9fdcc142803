"""The speed cases of machine reassignment: moves of the local search, and a shift at the challenge's largest size."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from archrl.baselines.reassignment_search_kernels import anneal, begin
from archrl.baselines.reassignment_search_state import KINDS, SHIFT, SWAP, allocate_search
from archrl.cluster.reassignment_state import allocate, load_row, sizes_for
from archrl.evaluation.speed import Case, Clock, Measure, Target
from archrl.scenarios.reassignment import Reassignment
from archrl.scenarios.reassignment_build import reassignment_from
from archrl.scenarios.reassignment_evaluate import evaluate
from archrl.scenarios.reassignment_generator import generate_reassignment
from archrl.scenarios.reassignment_params import LARGEST_PARAMS
from archrl.seeding import rng_for
from archrl.traces import default_root, read_roadef2012

MOVES = 1_000_000
EVEN = tuple(1.0 / len(KINDS) for _ in KINDS)
SHIFTS_ONLY = tuple(float(kind == SHIFT) for kind in range(len(KINDS)))
SHIFTS_AND_SWAPS = tuple(0.5 * (kind in (SHIFT, SWAP)) for kind in range(len(KINDS)))
WARM, COLD = 1.0, 1e-6
"""Temperatures, in units of the initial cost per process: amid the search, and where nothing that costs is accepted."""


def real(name: str) -> Callable[[], Reassignment]:
    """An instance of the challenge."""
    return lambda: reassignment_from(read_roadef2012(default_root(), name), name)


def largest() -> Reassignment:
    """50,000 processes on 1,000 nodes."""
    return generate_reassignment(rng_for(0, "test", "speed"), LARGEST_PARAMS)


def searching(make: Callable[[], Reassignment], kinds: tuple[float, ...], heat: float) -> Callable[[], Measure]:
    """Moves at one temperature, those that end early included; a tenth of them beforehand, to get going."""

    def prepare() -> Measure:
        problem = make()
        state, search = allocate(sizes_for([problem], 1)), allocate_search(problem)
        load_row(state, 0, problem)
        search.until[:], search.word[0] = np.cumsum(kinds), 1
        temperature = max(heat * evaluate(problem, problem.initial).total / len(problem), 1.0)

        def run(clock: Clock) -> tuple[float, dict[str, float]]:
            begin(state.handle, 0, search.handle, problem.initial)
            anneal(state.handle, 0, search.handle, MOVES // 10, temperature)
            with clock:
                anneal(state.handle, 0, search.handle, MOVES, temperature)
            arrays = (*state, *search)
            return float(MOVES), {"state_gib": sum(array.nbytes for array in arrays) / 2**30}

        return run

    return prepare


A2_2, B_3 = "local search, a2_2", "local search, b_3"
A2_2_EVEN, B_3_EVEN = f"{A2_2}, all kinds of moves alike", f"{B_3}, all kinds of moves alike"
LARGEST = "shifts, 50,000 processes x 1,000 nodes"
CASES = (
    Case(A2_2, "moves", searching(real("a2_2"), SHIFTS_AND_SWAPS, WARM)),
    Case(B_3, "moves", searching(real("b_3"), SHIFTS_AND_SWAPS, WARM)),
    Case(A2_2_EVEN, "moves", searching(real("a2_2"), EVEN, WARM)),
    Case(B_3_EVEN, "moves", searching(real("b_3"), EVEN, WARM)),
    Case(LARGEST, "moves", searching(largest, SHIFTS_ONLY, COLD)),
)
NEEDS_DATA = (A2_2, B_3, A2_2_EVEN, B_3_EVEN)

TARGETS = (
    Target(A2_2, (A2_2,), lambda samples: samples[A2_2].rate, 2e6, "moves per CPU-second"),
    Target(B_3, (B_3,), lambda samples: samples[B_3].rate, 1e6, "moves per CPU-second"),
    Target(A2_2_EVEN, (A2_2_EVEN,), lambda samples: samples[A2_2_EVEN].rate, 2e6, "moves per CPU-second"),
    Target(B_3_EVEN, (B_3_EVEN,), lambda samples: samples[B_3_EVEN].rate, 1e6, "moves per CPU-second"),
    Target(f"{LARGEST}, each", (LARGEST,), lambda samples: 1e6 / samples[LARGEST].rate, 1.0, "microseconds", False),
    Target(f"{LARGEST}, memory", (LARGEST,), lambda samples: samples[LARGEST].extra["state_gib"], 1.0, "GiB", False),
)
