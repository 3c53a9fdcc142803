"""Inputs of services against a computation in plain Python, and what they must not depend on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from autoscale_rows import observed, short_task

from archrl.cluster.service_schema import CLUSTER_FEATURES, SERVICE_FEATURES
from archrl_agents.service_inputs import POOLED, SERVICE_INPUTS, build_inputs, growth_quantiles, input_names, no_past


def clip(value: float, limit: float) -> float:
    return max(-limit, min(limit, value))


def by_hand(row: np.ndarray) -> dict[str, float]:
    """Inputs of one service from its observed row."""
    x = dict(zip(SERVICE_FEATURES, row.astype(float).tolist(), strict=True))
    busy = x["service_time_s"] / x["slots"]
    load, minute, five = (x[f"arrival_{name}rps"] * busy for name in ("", "1min_", "5min_"))
    ratio = {name: clip(math.log((x[name] + 0.01) / (load + 0.01)), 4) for name in ("ready", "floor", "least", "most")}
    slots = x["slots"] * max(x["ready"], 1.0)
    return ratio | {
        "load": math.log(1 + load),
        "log_load": math.log(load + 0.01),
        "trend_1min": clip(4 * math.log((load + 0.01) / (minute + 0.01)), 4),
        "trend_5min": clip(4 * math.log((minute + 0.01) / (five + 0.01)), 4),
        "starting": min(math.log(1 + x["starting"] / (load + 0.01)), 4),
        "utilisation": x["utilisation_frac"],
        "queue": math.log(1 + x["queue"] / slots),
        "pressure": math.log(1 + x["pressure_rps"] * x["service_time_s"] / slots),
        "latency": clip(math.log(x["latency_s"] / x["service_time_s"] + 0.01), 6),
        "latency_sd": clip(math.log(x["latency_sd_s"] / x["service_time_s"] + 0.01), 6),
        "retries": min(x["retry_factor"] - 1, 5),
        "scv": math.log(1 + x["service_scv"]),
        "slots": math.log(x["slots"]) / 4,
        "cores": math.log(x["cores"]) / 4,
        "requests_per_core": math.log(x["slots"] / (x["service_time_s"] * x["cores"])) / 4,
        "start": x["start_s"] / 60,
        "slo_share": x["slo_share"],
        "weight": math.log(x["weight"]) / 4,
    }


@pytest.fixture(scope="module")
def seen() -> list[dict[str, np.ndarray]]:
    return observed(short_task(retries=2, load_factor=1.5), rows=4, steps=11)


def test_inputs_are_what_plain_python_computes(seen):
    names = input_names(0)
    assert any((each["services"][..., SERVICE_FEATURES.index("pressure_rps")] > 0).any() for each in seen)
    for each in seen[::3]:
        inputs, _ = build_inputs(each["services"], each["cluster"], no_past(4, 5, 0), np.ones(4, np.bool_))
        assert inputs.shape == (4, 5, len(names))
        assert np.isfinite(inputs).all()
        for b in range(4):
            cluster = dict(zip(CLUSTER_FEATURES, each["cluster"][b].tolist(), strict=True))
            rows = [by_hand(each["services"][b, x]) for x in range(5)]
            shared = {name: cluster[name] for name in ("day_sin", "day_cos")} | {"progress": cluster["progress_frac"]}
            shared["worst_p99"] = clip(math.log(cluster["worst_p99_over_slo"] + 0.01), 3)
            shared["late"] = cluster["late_frac"]
            for name in POOLED:
                shared[f"mean_{name}"] = sum(row[name] for row in rows) / 5
                shared[f"max_{name}"] = max(row[name] for row in rows)
            for x in range(5):
                expected = [(rows[x] | shared)[name] for name in names]
                np.testing.assert_allclose(inputs[b, x], expected, rtol=2e-5, atol=2e-5)


def test_history_is_the_change_of_the_load_and_begins_with_the_episode(seen):
    past, loads = no_past(4, 5, 3), []
    starts = [np.full(4, step == 0) for step in range(6)]
    starts[4][2] = True
    for step in range(6):
        before = past.copy()
        inputs, past = build_inputs(seen[step]["services"], seen[step]["cluster"], before, starts[step])
        loads.append(inputs[..., SERVICE_INPUTS.index("log_load")].astype(float))
        for b in range(4):
            first = 4 if b == 2 and step >= 4 else 0
            for lag in (1, 2, 3):
                change = loads[step][b] - loads[max(step - lag, first)][b]
                found = inputs[b, :, input_names(3).index(f"load_since_{lag}")]
                np.testing.assert_allclose(found, np.clip(4 * change, -4, 4), atol=1e-5)


def test_the_order_of_services_does_not_matter(seen):
    order = np.random.default_rng(0).permutation(5)
    services, cluster, starts = seen[5]["services"], seen[5]["cluster"], np.zeros(4, np.bool_)
    past = np.random.default_rng(1).normal(size=(4, 5, 2)).astype(np.float32)
    plain, memory = build_inputs(services, cluster, past, starts)
    moved, moved_memory = build_inputs(services[:, order], cluster, past[:, order], starts)
    np.testing.assert_allclose(moved, plain[:, order], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(moved_memory, memory[:, order])


@pytest.mark.parametrize("extreme", [0.0, 1e12])
def test_inputs_stay_finite_where_services_are_idle_or_drown(seen, extreme):
    services = seen[3]["services"].copy()
    moving = SERVICE_FEATURES.index("floor") + 1
    services[..., :moving] = extreme
    inputs, _ = build_inputs(services, seen[3]["cluster"], no_past(4, 5, 0), np.ones(4, np.bool_))
    assert np.isfinite(inputs).all()
    ratios = [SERVICE_INPUTS.index(name) for name in ("trend_1min", "ready", "floor", "latency", "most")]
    assert np.abs(inputs[..., ratios]).max() <= 6


def test_a_forecast_is_the_quantiles_of_what_the_load_did_before():
    """Log loads 0, 0.1, 0.3, 0.3, 0.7, oldest first: over two decisions they grew by 0.3, 0.2 and 0.4."""
    past = np.array([[[0.7, 0.3, 0.3, 0.1, 0.0]]], np.float32)
    found = growth_quantiles(past, 2)
    assert found.shape == (1, 1, 3)
    assert found[0, 0] == pytest.approx(4 * np.array([0.22, 0.3, 0.38]), rel=1e-5)
    assert (growth_quantiles(10 * past, 2) <= 4.0).all()


def test_a_forecast_adds_its_inputs_at_the_end():
    task = short_task()
    seen = next(iter(observed(task, rows=2, steps=1)))
    arguments = (seen["services"], seen["cluster"], no_past(2, 5, 4), np.ones(2, np.bool_))
    plain, more = build_inputs(*arguments)[0], build_inputs(*arguments, 3)[0]
    np.testing.assert_array_equal(more[:, :, : plain.shape[2]], plain)
    assert (more[:, :, plain.shape[2] :] == 0.0).all()  # a row that starts has seen no change
    names = input_names(4, 3)
    assert more.shape[2] == len(names)
    assert names[-3:] == ("growth_3_quantile_0.1", "growth_3_quantile_0.5", "growth_3_quantile_0.9")
