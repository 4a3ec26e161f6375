import numpy as np
import pytest

from scgim.scm.gauge._gene_lines import densest_point, find_gene_lines

N_NODES, PER_NODE, N_NONE = 4, 30, 20


@pytest.fixture
def lines():
    rng = np.random.default_rng(0)
    lines = rng.normal(size=(N_NODES, N_NODES))
    return lines / np.linalg.norm(lines, axis=1, keepdims=True)


def _genes(lines, sd=0.01, offset=0.0):
    rng = np.random.default_rng(1)
    size = rng.choice([-1, 1], (N_NODES, PER_NODE, 1)) * rng.uniform(0.3, 1, (N_NODES, PER_NODE, 1))
    on_lines = (size * lines[:, None]).reshape(-1, N_NODES)
    loadings = np.concatenate([on_lines, np.zeros((N_NONE, N_NODES))]) + offset
    return loadings + sd * rng.normal(size=loadings.shape), np.full(len(loadings), sd)


def _agreement(found, lines):
    """Largest absolute cosine of each planted line with a found one."""
    return np.abs(lines @ (found / np.linalg.norm(found, axis=0))).max(1)


@pytest.mark.parametrize("offset", [0.0, 0.8])
def test_planted_lines_and_the_point_of_genes_without_program_are_found(lines, offset):
    found, point = find_gene_lines(*_genes(lines, offset=offset))
    assert found.shape == (N_NODES, N_NODES)
    assert (_agreement(found, lines) > 0.999).all()
    np.testing.assert_allclose(point, offset, atol=0.02)


def test_genes_on_two_programs_do_not_disturb_the_lines(lines):
    loadings, sd = _genes(lines)
    rng = np.random.default_rng(2)
    loadings[::4] += (
        rng.uniform(0.3, 1, (len(loadings[::4]), 1))
        * lines[rng.integers(N_NODES, size=len(loadings[::4]))]
    )
    assert (_agreement(find_gene_lines(loadings, sd)[0], lines) > 0.99).all()


def test_rotating_the_noise_rotates_the_lines(lines):
    loadings, sd = _genes(lines)
    rotation = np.linalg.qr(np.random.default_rng(3).normal(size=(N_NODES, N_NODES)))[0]
    plain, rotated = (find_gene_lines(x, sd)[0] for x in (loadings, loadings @ rotation))
    agreement = np.abs((plain.T @ rotation * rotated.T).sum(1))
    np.testing.assert_allclose(agreement, 1, atol=1e-6)


def test_missing_lines_are_filled_up_with_orthogonal_directions(lines):
    loadings, sd = _genes(lines)
    loadings[PER_NODE : N_NODES * PER_NODE] = 0.0
    found = find_gene_lines(loadings, sd)[0]
    assert abs(found[:, 0] @ lines[0]) > 0.999
    np.testing.assert_allclose(found[:, 0] @ found[:, 1:], 0, atol=1e-6)
    assert np.linalg.matrix_rank(found) == N_NODES


def test_noise_without_any_program_still_gives_a_basis():
    rng = np.random.default_rng(4)
    found, point = find_gene_lines(0.01 * rng.normal(size=(50, 3)), np.full(50, 0.01))
    assert np.linalg.matrix_rank(found) == 3
    np.testing.assert_allclose(point, 0, atol=0.02)


def test_densest_point_is_the_mean_of_the_crowd():
    rng = np.random.default_rng(5)
    crowd = np.array([2.0, -1.0]) + 0.05 * rng.normal(size=(40, 2))
    points = np.concatenate([crowd, rng.uniform(-10, 10, (30, 2))])
    np.testing.assert_allclose(densest_point(points, np.full(70, 0.05)), [2, -1], atol=0.05)
