import networkx as nx
import numpy as np
import pytest

from scgim.scm._sufficient_statistics import compute_sufficient_statistics
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_score import StructureScore
from scgim.scm.structure._structure_search import (
    SearchSettings,
    StructureSearch,
    compute_reach,
    search_structure,
)

N_NODES = 8
FEW = SearchSettings(n_restarts=6)


def draw_screen(seed=0, n_nodes=N_NODES, kind="shift"):
    """Linear screen of a random graph: 12 perturbations of one or two targets, 60 cells each."""
    rng = np.random.default_rng(seed)
    adjacency = np.triu(rng.random((n_nodes, n_nodes)) < 3 / n_nodes, k=1)
    order = rng.permutation(n_nodes)
    adjacency = adjacency[np.ix_(order, order)]
    weights = (
        adjacency * rng.choice([-1, 1], adjacency.shape) * rng.uniform(0.5, 1, adjacency.shape)
    )
    targets = rng.random((12, n_nodes)).argsort(axis=1) < rng.integers(1, 3, (12, 1))
    owner = np.append(-1, np.arange(12))
    condition = np.repeat(np.arange(13), np.append(400, np.full(12, 60)))
    hit = np.vstack([np.zeros(n_nodes), targets])[condition]
    noise = rng.standard_normal((len(condition), n_nodes))
    values = np.zeros_like(noise)
    for node in nx.topological_sort(nx.from_numpy_array(adjacency, create_using=nx.DiGraph)):
        kept = 1 - hit[:, node] if kind == "hard" else 1
        values[:, node] = values @ weights[:, node] * kept + noise[:, node] + 2.5 * hit[:, node]
    return values, condition, owner, adjacency, targets


def search(screen, rng=0, **options):
    statistics = compute_sufficient_statistics(*screen[:3])
    return search_structure(statistics, np.random.default_rng(rng), **{"settings": FEW, **options})


def is_acyclic(adjacency):
    return nx.is_directed_acyclic_graph(nx.from_numpy_array(adjacency, create_using=nx.DiGraph))


@pytest.mark.parametrize("kind", ["shift", "hard"])
def test_graph_and_unknown_targets_are_recovered(kind):
    screen = draw_screen(kind=kind)
    found = search(screen, settings=SearchSettings(kind="auto" if kind == "hard" else kind))
    assert (found.adjacency != screen[3]).sum() <= 1
    np.testing.assert_array_equal(found.is_target, screen[4])


@pytest.mark.parametrize("seed", range(4))
def test_no_climb_returns_a_cyclic_graph(seed):
    assert is_acyclic(
        search(draw_screen(seed), rng=seed, settings=SearchSettings(n_restarts=2)).adjacency
    )


def test_perturbed_graph_has_no_cycle_and_keeps_required_edges():
    screen = draw_screen()
    statistics = compute_sufficient_statistics(*screen[:3])
    required = np.zeros((N_NODES, N_NODES), dtype=bool)
    required[0, 1] = True
    score = StructureScore(statistics, PriorKnowledge.none(N_NODES, 12))
    climber = StructureSearch(score, np.ones_like(required), required)
    rng = np.random.default_rng(0)
    for _ in range(20):
        new = climber.perturb(required, rng, from_scratch=False)
        assert is_acyclic(new)
        assert new[0, 1]


def test_relabelling_nodes_relabels_the_result():
    values, condition, owner, *_ = draw_screen()
    order = np.random.default_rng(1).permutation(N_NODES)
    found = search((values, condition, owner))
    renamed = search((values[:, order], condition, owner))
    np.testing.assert_array_equal(renamed.adjacency, found.adjacency[np.ix_(order, order)])
    np.testing.assert_array_equal(renamed.is_target, found.is_target[:, order])
    np.testing.assert_allclose(renamed.noise_variance, found.noise_variance[order], rtol=1e-6)


def test_score_of_a_graph_is_the_sum_over_its_families():
    screen = draw_screen()
    statistics = compute_sufficient_statistics(*screen[:3])
    score = StructureScore(statistics, PriorKnowledge.none(N_NODES, 12))
    climber = StructureSearch(score, ~np.eye(N_NODES, dtype=bool), np.zeros((N_NODES,) * 2, bool))
    families = [
        score.fit(np.array([node]), np.flatnonzero(screen[3][:, node])[None]).score[0]
        for node in range(N_NODES)
    ]
    assert climber.total(screen[3]) == pytest.approx(sum(families))


def test_search_never_ends_above_the_truth_where_it_started():
    screen = draw_screen()
    found = search(screen, settings=SearchSettings(n_restarts=0))
    from_truth = search(screen, settings=SearchSettings(n_restarts=0), start=screen[3])
    best = search(screen)
    assert best.score <= min(found.score, from_truth.score) + 1e-6
    assert best.score == pytest.approx(min(best.trace))


def test_ctrl_c_keeps_the_best_graph_so_far():
    def stop_at_third(progress):
        if progress.restart == 3:
            raise KeyboardInterrupt

    screen = draw_screen(2)
    stopped = search(screen, callback=stop_at_third)
    assert stopped.was_stopped
    assert len(stopped.trace) == 3
    assert stopped.score == pytest.approx(min(stopped.trace))
    assert is_acyclic(stopped.adjacency)
    assert not search(screen).was_stopped


def test_callback_hears_of_every_climb():
    heard = []
    found = search(draw_screen(), callback=heard.append)
    assert [progress.restart for progress in heard] == list(range(1, 8))
    assert heard[-1].best_score == pytest.approx(found.score)


def test_forbidden_edges_are_absent_and_required_edges_present():
    screen = draw_screen()
    parent, child = np.argwhere(screen[3])[0]
    prior = PriorKnowledge.none(N_NODES, 12)
    prior.forbidden[parent, child] = True
    assert not search(screen, prior=prior).adjacency[parent, child]
    absent = np.argwhere(~compute_reach(screen[3]) & ~compute_reach(screen[3]).T)[0]
    prior = PriorKnowledge.none(N_NODES, 12)
    prior.required[tuple(absent)] = True
    found = search(screen, prior=prior)
    assert found.adjacency[tuple(absent)]
    assert is_acyclic(found.adjacency)


def test_evidence_is_positive_for_edges_and_targets_that_were_called():
    found = search(draw_screen())
    assert (found.edge_evidence[found.adjacency] > 0).all()
    assert (found.edge_probability[~found.adjacency] <= 0.5).all()
    assert ((found.target_evidence > 0) == found.is_target).all()
    assert (found.target_probability[found.is_target] > 0.5).all()


def test_splines_find_an_edge_that_no_line_shows():
    rng = np.random.default_rng(0)
    parent = rng.standard_normal(1500)
    values = np.column_stack([parent, np.abs(parent) + 0.5 * rng.standard_normal(1500)])
    condition = np.repeat([0, 1, 2], 500)
    values[condition == 1, 0] += 2.0
    values[condition == 1, 1] = np.abs(values[condition == 1, 0]) + 0.5 * rng.standard_normal(500)
    values[condition == 2, 1] += 2.0
    screen = (values, condition, np.array([-1, 0, 1]))
    statistics = compute_sufficient_statistics(*screen, is_linear=False)
    found = search_structure(statistics, rng, settings=FEW)
    np.testing.assert_array_equal(found.adjacency, [[False, True], [False, False]])
    np.testing.assert_array_equal(found.is_target, [[True, False], [False, True]])
