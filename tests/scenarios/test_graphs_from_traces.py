"""Call graphs from DGG: merging of interfaces and requests, cycles, loops, what is left out; then the sample itself."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archrl.errors import ScenarioError
from archrl.scenarios.graph_flows import visits_per_request
from archrl.scenarios.graphs_from_traces import dgg_graph, dgg_merged_graph
from archrl.scenarios.service_graph import ENTRY, KINDS, entries, levels
from archrl.traces.callgraphs_dgg import LABELS, RPC_TYPES, USER, DggGraphs, read_dgg
from tests.scenarios.graph_builders import edges_by_name

A, B, C, M = "MS_normal+2.1", "MS_normal+3.1", "MS_blackhole.1", "MS_Memcached.1"


def make_sample(services) -> DggGraphs:
    """A sample of {service: [(num, [(source, target, weight), ...]), ...]}; an interface is (microservice, number)."""
    microservices: dict[str, int] = {}
    nodes, edges, graphs = [], [], []
    for number, listed in enumerate(services.values()):
        for k, (num, calls) in enumerate(listed):
            place = {}
            for name in dict.fromkeys([end for call in calls for end in call[:2]]):
                base, interface = name if isinstance(name, tuple) else (name, 0)
                place[name] = len(nodes)
                label = next((i for i, word in enumerate(LABELS) if word in base), 1)
                nodes.append((microservices.setdefault(base, len(microservices)), interface, label))
            edges += [(place[a], place[b], weight) for a, b, weight in calls]
            graphs.append((number, k + 1, num, len(place), len(calls)))
    rows, node, edge = (np.array(table, np.int64).T for table in (graphs, nodes, edges))
    return DggGraphs(
        service_name=tuple(services),
        cluster=np.zeros(len(services), np.int32),
        service_idx=rows[0].astype(np.int32),
        number=rows[1].astype(np.int32),
        num=rows[2].astype(np.int32),
        node_start=np.append(0, np.cumsum(rows[3])),
        edge_start=np.append(0, np.cumsum(rows[4])),
        microservice_name=tuple(microservices),
        microservice_idx=node[0].astype(np.int32),
        interface=node[1].astype(np.int32),
        label=node[2].astype(np.uint8),
        source_idx=edge[0].astype(np.int32),
        target_idx=edge[1].astype(np.int32),
        weight=edge[2].astype(np.int32),
        rpc_type=np.full(len(edges), RPC_TYPES.index("rpc"), np.uint8),
    )


def mean_visits(made):
    """Visits of each service per request of a user, weighted over the entries."""
    share = made.entry_requests / made.entry_requests.sum()
    return sum(part * visits_per_request(made.graph, int(k)) for k, part in zip(made.entry_idx, share, strict=True))


def test_graphs_are_weighted_by_their_requests():
    sample = make_sample({"S": [(30, [(USER, A, 1), (A, B, 2)]), (10, [(USER, A, 1), (A, B, 1), (A, M, 4)])]})
    made = dgg_graph(sample, "S")
    assert made.graph.name == (A, B, M)
    assert edges_by_name(made.graph) == {(A, B): (70 / 40, 0), (A, M): (1.0, 1)}
    assert made.graph.role.tolist() == [0, 2, 2]
    assert [KINDS[k] for k in made.graph.kind] == ["normal", "normal", "memcached"]
    assert made.graph.stateful.tolist() == [False, False, True]
    assert (made.entry_idx.tolist(), made.entry_requests.tolist()) == ([0], [40.0])
    assert (made.left_out, made.left_out_calls, made.unreachable) == ((), 0.0, ())


def test_stages_are_one_after_the_other_or_one():
    sample = make_sample({"S": [(1, [(USER, A, 1), (A, B, 1), (A, C, 1), (A, M, 1)])]})
    assert dgg_graph(sample, "S").graph.stage.tolist() == [0, 1, 2]
    assert dgg_graph(sample, "S", parallel=True).graph.stage.tolist() == [0, 0, 0]


def test_interfaces_are_one_service_and_calls_among_them_are_counted():
    """A gets 2 requests from the client and calls itself 3 times in each; both interfaces call M."""
    calls = [(USER, A, 2), (A, (A, 1), 6), (A, M, 2), ((A, 1), M, 4)]
    made = dgg_graph(make_sample({"S": [(5, calls)]}), "S")
    assert made.graph.name == (A, M)
    assert edges_by_name(made.graph) == {(A, M): (3.0, 0)}
    assert made.self_calls.tolist() == [3.0, 0.0]


def test_equal_edges_add_up():
    made = dgg_graph(make_sample({"S": [(1, [(USER, A, 1), (A, B, 1), (A, B, 2)])]}), "S")
    assert edges_by_name(made.graph) == {(A, B): (3.0, 0)}


def test_a_service_with_several_entries():
    sample = make_sample({"S": [(30, [(USER, A, 1), (A, C, 1)]), (10, [(USER, B, 1), (B, A, 2), (A, C, 2)])]})
    made = dgg_graph(sample, "S")
    assert made.graph.name == (B, A, C)
    assert entries(made.graph).tolist() == made.entry_idx.tolist() == [0, 1]
    assert made.entry_requests.tolist() == [10.0, 30.0]
    assert made.graph.role[1] == ENTRY, "an entry may be called by services too"
    assert mean_visits(made) == pytest.approx([10 / 40, (30 + 20) / 40, (30 + 20) / 40])


def test_the_call_that_leads_back_is_left_out():
    calls = [(USER, A, 1), (A, B, 1), (B, C, 1), (C, A, 7), (C, B, 2), (A, C, 1)]
    made = dgg_graph(make_sample({"S": [(10, calls)]}), "S")
    assert made.left_out == ((C, A), (C, B))
    assert made.left_out_calls == 90.0
    assert made.graph.name == (A, B, C)
    assert mean_visits(made) == pytest.approx([1.0, 1.0, 2.0])


def test_the_heavier_call_is_walked_first():
    """Of B -> C and C -> B, the one that the walk meets on its way back is left out."""
    for weight, lost in ((5, (C, B)), (1, (B, C))):
        calls = [(USER, A, 1), (A, B, weight), (A, C, 3), (B, C, 1), (C, B, 1)]
        made = dgg_graph(make_sample({"S": [(1, calls)]}), "S")
        assert made.left_out == (lost,)


def test_services_that_users_do_not_reach_are_left_out():
    made = dgg_graph(make_sample({"S": [(1, [(USER, A, 1), (B, C, 1), (C, A, 1)])]}), "S")
    assert made.unreachable == (B, C)
    assert made.graph.name == (A,)
    assert made.graph.num_edges == 0


def test_many_services_share_names_or_nothing():
    one, other = [(3, [(USER, A, 1), (A, M, 1)])], [(1, [(USER, A, 1), (A, M, 5)]), (2, [(USER, B, 1), (B, M, 1)])]
    sample = make_sample({"S": one, "T": other, "U": [(9, [(USER, C, 1)])]})
    apart = dgg_merged_graph(sample, ["S", "T"])
    assert set(apart.graph.name) == {f"S/{A}", f"S/{M}", f"T/{A}", f"T/{M}", f"T/{B}"}
    assert edges_by_name(apart.graph)[f"T/{A}", f"T/{M}"] == (5.0, 0)
    together = dgg_merged_graph(sample, ["S", "T"], shared_names=True)
    assert set(together.graph.name) == {A, M, B}
    assert edges_by_name(together.graph)[A, M] == (2.0, 0)
    assert together.entry_requests.sum() == apart.entry_requests.sum() == 6.0
    assert len(dgg_merged_graph(sample).graph) == 6
    assert dgg_merged_graph(sample, ["T", "S"]).graph.fingerprint() == apart.graph.fingerprint()


@pytest.mark.parametrize("function", [lambda s: dgg_graph(s, "S_12"), lambda s: dgg_merged_graph(s, ["S_11", "S_12"])])
def test_an_unknown_service_is_named(function):
    sample = make_sample({"S_11": [(1, [(USER, A, 1)])]})
    with pytest.raises(
        ScenarioError, match=r"service 'S_12' is not in the sample \(did you mean 'S_11'\?\); it has 1 ser"
    ):
        function(sample)


def test_no_service_is_refused():
    with pytest.raises(ScenarioError, match="services: none given"):
        dgg_merged_graph(make_sample({"S_11": [(1, [(USER, A, 1)])]}), [])


names = st.sampled_from([A, B, C, M, (A, 1), (B, 2)])


@given(
    listed=st.lists(
        st.tuples(st.integers(1, 9), names, st.lists(st.tuples(names, names, st.integers(1, 3)), max_size=8)),
        min_size=1,
        max_size=4,
    )
)
def test_merging_conserves_the_observed_calls(listed):
    """Whatever is cyclic, repeated or unreachable: kept, own and left-out calls are all that was observed."""
    graphs = [(num, [(USER, entry, 1), *calls]) for num, entry, calls in listed]
    made = dgg_graph(make_sample({"S": graphs}), "S")
    base = {name: name[0] if isinstance(name, tuple) else name for name in (A, B, C, M, (A, 1), (B, 2), USER)}
    total = defaultdict(float)
    for num, calls in graphs:
        for a, b, weight in calls:
            total[base[a], base[b]] += num * weight
    requests = sum(num for num, _ in graphs)
    kept = set(made.graph.name)
    visits = dict(zip(made.graph.name, mean_visits(made) * requests, strict=True))
    calls = {pair: value[0] * visits[pair[0]] for pair, value in edges_by_name(made.graph).items()}
    others = {
        p: v for p, v in total.items() if USER not in p and p[0] != p[1] and p[0] in kept and p not in made.left_out
    }
    assert calls == pytest.approx(others, rel=1e-5)
    assert made.left_out_calls == sum(total[pair] for pair in made.left_out)
    own = {name: value * visits[name] for name, value in zip(made.graph.name, made.self_calls, strict=True)}
    assert own == pytest.approx({name: total.get((name, name), 0.0) for name in kept}, rel=1e-5)
    assert (made.graph.dst > made.graph.callers()).all()


@pytest.fixture(scope="module")
def sample(data_root):
    return read_dgg(data_root)


@pytest.mark.needs_data("alibaba_callgraphs_dgg")
def test_the_merged_sample(sample):
    made = dgg_merged_graph(sample)
    assert (len(made.graph), made.graph.num_edges, levels(made.graph).max()) == (10_533, 8_741, 6)
    assert np.bincount(made.graph.role).tolist() == [2728, 308, 7497]
    assert made.entry_requests.sum() == sample.num.sum(dtype=np.int64)
    assert (len(made.left_out), made.left_out_calls, made.unreachable) == (29, 85_877.0, ())
    shared = dgg_merged_graph(sample, shared_names=True)
    assert (len(shared.graph), shared.graph.num_edges, len(shared.left_out)) == (175, 482, 64)


@pytest.mark.needs_data("alibaba_callgraphs_dgg")
def test_every_service_of_the_sample_gives_back_its_visits(sample):
    node_graph = np.repeat(np.arange(len(sample)), np.diff(sample.node_start))
    several = 0
    for k in range(0, len(sample.service_name), 37):
        made = dgg_graph(sample, sample.service_name[k])
        several += len(made.entry_idx) > 1
        if made.left_out:
            continue
        inside = sample.service_idx[node_graph[sample.target_idx]] == k
        source, target = (sample.microservice_idx[idx[inside]] for idx in (sample.source_idx, sample.target_idx))
        calls = sample.num[node_graph[sample.target_idx[inside]]] * sample.weight[inside].astype(float)
        total = np.bincount(target, np.where(source == target, 0.0, calls), len(sample.microservice_name))
        expected = [total[sample.microservice_name.index(name)] for name in made.graph.name]
        assert mean_visits(made) * made.entry_requests.sum() == pytest.approx(expected, rel=1e-5)
    assert several > 5
