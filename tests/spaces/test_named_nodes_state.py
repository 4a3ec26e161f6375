import numpy as np
import pytest

from scgim.spaces._named_nodes_state import pack, unpack, unpack_interventions


@pytest.mark.parametrize("name", ["genes_model", "counts_model"])
def test_a_model_comes_back_from_plain_values(request, name):
    fitted = request.getfixturevalue(name).fitted.interventions
    back = unpack(pack(fitted), fitted.mechanism)
    conditions = np.arange(3), np.array([0.0, 0.3, np.inf])
    one, other = vars(fitted.seen(*conditions)), vars(back.seen(*conditions))
    for field, tensor in one.items():
        np.testing.assert_array_equal(tensor, other[field])
    assert back.mechanism is fitted.mechanism
    if fitted.predictor is not None:
        asked = np.ones((2, fitted.predictor.features.shape[1])), np.zeros(2)
        np.testing.assert_array_equal(fitted.unseen(*asked).shift, back.unseen(*asked).shift)


def test_what_is_saved_is_plain(genes_model):
    def kinds(value):
        if isinstance(value, dict):
            return set().union(*map(kinds, value.values()))
        if isinstance(value, list | tuple):
            return set().union(*map(kinds, value))
        return {type(value)}

    plain = {np.ndarray, np.float64, float, int, str, bool, type(None)}
    assert kinds(genes_model.fitted.named_nodes) <= plain


def test_files_of_the_first_release_have_other_names(genes_model):
    state = dict(genes_model.fitted.named_nodes)
    rows = dict(state.pop("interventions"))
    rows["potency_covariance"] = rows.pop("dose_response_covariance")
    del rows["is_unknown"]
    now, then = (
        unpack_interventions(genes_model.fitted.named_nodes),
        unpack_interventions(state | {"rows": rows}),
    )
    for key, value in vars(now).items():
        np.testing.assert_array_equal(getattr(then, key), value)


def test_models_of_the_first_release_have_other_names(genes_model):
    state = dict(genes_model.fitted.named_nodes["model"])
    state["potency"] = state.pop("efficacy")
    state |= {"mechanism_kind": "LinearNodeMechanism", "mechanism": {"weights": np.zeros((8, 8))}}
    now = genes_model.fitted.interventions
    then = unpack(state, now.mechanism)
    np.testing.assert_array_equal(then.efficacy.rows, now.efficacy.rows)
    assert then.mechanism is now.mechanism
