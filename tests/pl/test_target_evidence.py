import numpy as np
import pytest

from scgim.pl import target_evidence
from scgim.pl._target_evidence import expected_false_share


@pytest.fixture
def ranked(targets):
    """The targets with probabilities and evidence in the order of their effects."""
    evidence = targets["effect"] ** 2
    return targets.assign(evidence=evidence, probability=evidence / (evidence + 1))


def _labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_expected_false_share_is_the_mean_of_what_was_called():
    share = expected_false_share(np.array([1.0, 0.9, 0.5]))
    np.testing.assert_allclose(share, [0.0, 0.05, 0.2])


def test_expected_false_share_never_falls():
    probability = np.array([0.9, 0.2, 0.99, 0.99, 0.1])
    assert (np.diff(expected_false_share(probability)) >= 0).all()


def test_legend_counts_the_pairs_of_each_kind(ranked):
    assert _labels(target_evidence(ranked)) == [
        "not a target (5)",
        "target (3)",
        "ambiguous target (1)",
    ]


def test_pairs_stand_in_the_order_of_their_evidence(ranked):
    ax = target_evidence(ranked)
    points = np.vstack([np.asarray(kind.get_offsets()) for kind in ax.collections])
    points = points[np.argsort(points[:, 0])]
    np.testing.assert_array_equal(points[:, 0], np.arange(1, 10))
    np.testing.assert_allclose(points[:, 1], np.sort(ranked["evidence"])[::-1])


def test_upper_axis_marks_how_far_a_false_discovery_rate_reaches(ranked):
    ranked["probability"] = np.where(ranked["is_target"], 0.96, 0.04)
    ax = target_evidence(ranked)
    (top,) = ax.child_axes
    marks = dict(zip(top.get_xticks(), [t.get_text() for t in top.get_xticklabels()], strict=True))
    assert marks[4] == "5%"
    assert top.get_xlabel() == "false discovery rate, if the model holds"


def test_mock_perturbations_are_a_line_and_no_points(ranked):
    ax = target_evidence(ranked, mock=["B"])
    (line,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert line.get_ydata()[0] == 9.0
    assert _labels(ax)[-1] == "strongest of mock perturbations\n(1 of 3 called)"
    assert sum(len(kind.get_offsets()) for kind in ax.collections) == 6


def test_unknown_mock_perturbation_is_named(ranked):
    with pytest.raises(ValueError, match=r"`mock` contains 'D', which is not in the table"):
        target_evidence(ranked, mock=["D"])


def test_mock_perturbations_alone_are_refused(ranked):
    with pytest.raises(ValueError, match="`targets` has no rows, so there is nothing to draw"):
        target_evidence(ranked, mock=["A", "B", "C"])
