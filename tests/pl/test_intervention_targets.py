import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import QuadMesh

from scgim.pl import intervention_targets


def _marks(ax, marker_index):
    """Offsets of one kind of mark: 1 raised, 2 lowered, 3 ambiguous (0 is the heat map)."""
    return ax.collections[marker_index].get_offsets().tolist()


def test_cells_hold_the_effects_in_order_of_the_rows(targets):
    ax = intervention_targets(targets, cluster=False)
    np.testing.assert_allclose(
        ax.collections[0].get_array(), [[2.0, 0.1, 0.0], [0.2, -3.0, 0.1], [1.5, 0.0, 1.0]]
    )
    assert [text.get_text() for text in ax.get_yticklabels()] == ["A", "B", "C"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x", "y", "z"]


def test_targets_carry_their_sign_and_ambiguous_ones_a_ring(targets):
    ax = intervention_targets(targets, cluster=False)
    assert _marks(ax, 1) == [[0.5, 0.5], [0.5, 2.5], [2.5, 2.5]]
    assert _marks(ax, 2) == [[1.5, 1.5]]
    assert _marks(ax, 3) == [[2.5, 2.5]]


def test_clustering_puts_similar_perturbations_side_by_side(targets):
    ax = intervention_targets(targets)
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert abs(labels.index("A") - labels.index("C")) == 1


def test_truth_is_drawn_beside_in_the_same_row_order(targets):
    truth = pd.DataFrame(
        [[0, 1], [1, 0], [0, 0]], index=["C", "A", "B"], columns=["n0", "n1"], dtype=float
    )
    ax = intervention_targets(targets, truth=truth, cluster=False)
    meshes = [item for item in ax.collections if isinstance(item, QuadMesh)]
    assert [mesh.get_array().shape for mesh in meshes] == [(3, 3), (3, 2)]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["x", "y", "z", "n0", "n1"]
    np.testing.assert_allclose(meshes[-1].get_array(), [[1, 0], [0, 0], [0, 1]])


def test_truth_may_be_boolean(targets):
    truth = pd.DataFrame(np.eye(3, dtype=bool), index=["A", "B", "C"], columns=["a", "b", "c"])
    ax = intervention_targets(targets, truth=truth)
    assert len(ax.get_xticklabels()) == 6


def test_missing_truth_is_named(targets):
    truth = pd.DataFrame([[1.0]], index=["A"], columns=["n"])
    with pytest.raises(ValueError, match=r"`truth` has no row for perturbation '[BC]'"):
        intervention_targets(targets, truth=truth)


def test_only_the_perturbations_and_nodes_asked_for_are_drawn(targets):
    ax = intervention_targets(targets, perturbations=["C", "A"], nodes=["x"], cluster=False)
    assert ax.collections[0].get_array().shape == (2, 1)


def test_many_perturbations_are_counted_rather_than_printed_illegibly(targets):
    many = pd.concat(
        [
            targets.assign(perturbation=targets["perturbation"] + str(copy), effect=copy * 1.0)
            for copy in range(80)
        ]
    )
    ax = intervention_targets(many)
    assert [text.get_text() for text in ax.get_yticklabels()] == []
    assert ax.get_ylabel() == "240 perturbations"


def test_given_axes_are_drawn_on_and_returned(targets):
    figure, ax = plt.subplots()
    assert intervention_targets(targets, ax=ax) is ax
    assert plt.get_fignums() == [figure.number]


def test_the_table_is_not_changed(targets):
    before = targets.copy()
    intervention_targets(targets)
    pd.testing.assert_frame_equal(targets, before)
