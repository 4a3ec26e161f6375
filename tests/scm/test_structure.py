import numpy as np

from scgim.scm._intervention_kinds import HARD, SCALE, SHIFT
from scgim.scm._structure import Structure


def test_kinds_say_what_is_done_to_targets_of_all_and_of_the_first_perturbations():
    kind_index = np.array([[0, 1], [2, -1]])
    square = np.zeros((2, 2))
    structure = Structure(
        adjacency=square > 0,
        coefficients=square,
        offset=np.zeros(2),
        noise_variance=np.ones(2),
        kinds=(SHIFT, HARD, SCALE),
        kind_index=kind_index,
        target_evidence=square,
        kind_evidence=square,
        edge_evidence=square,
        edge_probability=square,
        target_probability=square,
        score=0.0,
        trace=(),
        was_stopped=False,
    )
    assert structure.is_target.tolist() == [[True, True], [True, False]]
    assert structure.is_hard.tolist() == [[False, True], [False, False]]
    assert structure.is_moved.tolist() == [[True, True], [False, False]]
    assert structure.is_rescaled.tolist() == [[False, True], [True, False]]
    first = structure.of_perturbations(1)
    assert first.is_target.tolist() == [[True, True]]
    assert first.adjacency is structure.adjacency
    per_perturbation = ("kind_index", "target_evidence", "kind_evidence", "target_probability")
    assert {getattr(first, name).shape for name in per_perturbation} == {(1, 2)}
