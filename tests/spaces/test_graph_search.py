import numpy as np
import pandas as pd
import pytest

from scgim.model import GraphSearch

GENES = ["STAT1", "IRF1", "MYC"]
GROUPS = [("ko_STAT1",), ("ko_MYC",), ("ko_MYC", "ko_STAT1")]
PERTURBATIONS = ["ko_STAT1", "ko_MYC"]


def _prior(**known):
    return GraphSearch(**known).prior(GENES, GROUPS, PERTURBATIONS)


def test_nothing_is_known_by_default():
    prior = _prior()
    assert not prior.forbidden.any()
    assert not prior.required.any()
    assert not prior.edge_log_odds.any()
    assert (prior.targets == -1).all()


def test_edges_are_pairs_or_a_table():
    pairs = _prior(forbidden=[("STAT1", "IRF1")])
    table = _prior(forbidden=pd.DataFrame({"source": ["STAT1"], "target": ["IRF1"]}))
    assert np.argwhere(pairs.forbidden).tolist() == [[0, 1]]
    np.testing.assert_array_equal(pairs.forbidden, table.forbidden)


def test_all_edges_but_the_allowed_ones_are_forbidden():
    prior = _prior(allowed=[("STAT1", "IRF1")])
    assert np.argwhere(~prior.forbidden).tolist() == [[0, 1]]


def test_a_regulon_table_makes_edges_likely_by_weight_and_may_name_other_genes():
    regulons = pd.DataFrame(
        {
            "source": ["STAT1", "STAT1", "TP53"],
            "target": ["IRF1", "MYC", "MYC"],
            "weight": [2.0, -1.0, 5.0],
        }
    )
    prior = _prior(edges=regulons)
    assert prior.edge_log_odds.tolist() == [[0, 3, 1.5], [0, 0, 0], [0, 0, 0]]


def test_known_targets_hold_in_combinations_too():
    prior = _prior(known_targets={"ko_STAT1": "STAT1", "ko_MYC": ["MYC"]})
    assert prior.targets.tolist() == [[1, -1, -1], [-1, -1, 1], [1, -1, 1]]


def test_known_targets_can_be_all_there_are():
    prior = _prior(known_targets={"ko_STAT1": "STAT1"}, has_off_targets=False)
    assert prior.targets.tolist() == [[1, 0, 0], [-1, -1, -1], [1, -1, -1]]
    both = _prior(known_targets={"ko_STAT1": "STAT1", "ko_MYC": "MYC"}, has_off_targets=False)
    assert both.targets.tolist() == [[1, 0, 0], [0, 0, 1], [1, 0, 1]]


@pytest.mark.parametrize(
    ("known", "message"),
    [
        (
            {"known_targets": {"ko_STAT1": "STAT3"}},
            (
                r"^`search\.known_targets` names 'STAT3', which are not among the 3 nodes\. The nodes "
                r"closest to 'STAT3' are \['STAT1'\]\. Add the genes to the data, or leave them out\.$"
            ),
        ),
        (
            {"known_targets": {"ko_STAT2": "STAT1"}},
            (
                r"^`search\.known_targets` names 'ko_STAT2', which the screen did not run\. The "
                r"perturbations closest to 'ko_STAT2' are \['ko_STAT1'\]\. Correct the names, or leave "
                r"them out\.$"
            ),
        ),
        (
            {"required": [("STAT1", "IRF1")], "forbidden": [("STAT1", "IRF1")]},
            (
                r"^'STAT1 → IRF1' are both required and forbidden\. Take each of them out of one of the "
                r"two lists\.$"
            ),
        ),
        (
            {"required": [("STAT1", "IRF1"), ("IRF1", "STAT1")]},
            (
                r"^The required edges close a cycle through 'STAT1', 'IRF1', but a causal graph has "
                r"none\. Take an edge of the cycle out\.$"
            ),
        ),
        (
            {"required": [("STAT1", "IRF1", "MYC")]},
            (
                r"^`search\.required` has \('STAT1', 'IRF1', 'MYC'\), which is not a pair \(source, "
                r"target\)\. Edges are a DataFrame with the columns 'source' and 'target', or pairs\.$"
            ),
        ),
        (
            {"edges": pd.DataFrame({"from": ["STAT1"], "target": ["IRF1"]})},
            (
                r"^`search\.edges` has no column 'source'; its columns are \['from', 'target'\]\. Edges "
                r"are a DataFrame with the columns 'source' and 'target', or pairs\.$"
            ),
        ),
    ],
)
def test_what_is_known_must_fit_the_screen(known, message):
    with pytest.raises(ValueError, match=message):
        _prior(**known)
