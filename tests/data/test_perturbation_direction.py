import re

import pytest

from scgim.data import PerturbationDirections, Screen
from scgim.data._perturbation_direction import check_directions
from scgim.model import GIM

SETUP = {
    "perturbation_key": "drug",
    "control": "vehicle",
    "dose_key": "dose",
    "features_key": "features",
}
BY_NAME = {"A": "lowers", "B": "raises", "unseen": "lowers"}


def registered(adata, **changes):
    GIM.setup_anndata(adata, **SETUP, **changes)
    return Screen.from_registry(GIM(adata, n_nodes=2).registry_).directions


def test_one_word_speaks_for_all_perturbations_seen_or_not():
    directions = PerturbationDirections.from_argument("raises")
    assert directions.of("A") == directions.of("never heard of") == "raises"
    assert directions.signs(["A", "B"]).tolist() == [1, 1]


def test_perturbations_that_a_mapping_does_not_name_are_unknown():
    directions = PerturbationDirections.from_argument(BY_NAME)
    assert [directions.of(name) for name in "ABC"] == ["lowers", "raises", "unknown"]
    assert directions.signs("ABC").tolist() == [-1, 1, 0]


@pytest.mark.parametrize("argument", ["lowers", "unknown", BY_NAME])
def test_registry_holds_the_directions(argument):
    directions = PerturbationDirections.from_argument(argument)
    assert PerturbationDirections.from_registry(directions.to_registry()) == directions


def test_registries_that_know_no_direction_are_read_as_unknown_everywhere():
    directions = PerturbationDirections.from_registry({"control": "vehicle"})
    assert directions.signs("AB").tolist() == [0, 0]


def test_direction_is_never_guessed(adata):
    assert registered(adata) == PerturbationDirections()


def test_screen_knows_the_directions_of_the_set_up(adata):
    assert registered(adata, perturbation_direction=BY_NAME).by_name == BY_NAME


@pytest.mark.parametrize("safe", [False, True])
@pytest.mark.parametrize("argument", ["raises", {"drug_a": "lowers", "drug_x": "raises"}])
def test_saved_models_keep_the_directions(screen, trained, tmp_path, safe, argument):
    model = trained(screen.copy(), setup={"perturbation_direction": argument})
    model.save(tmp_path / "model", safe=safe)
    loaded = GIM.load(tmp_path / "model", screen.copy(), accelerator="cpu", safe=safe)
    assert loaded.screen.directions == PerturbationDirections.from_argument(argument)


def refuses(direction, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_directions(direction, ["KRAS", "MYC"])


def test_words_that_are_no_direction_are_refused():
    refuses(
        "down",
        "`perturbation_direction='down'` is not a choice. Choose one of ['lowers', 'raises', "
        "'unknown'].",
    )
    refuses(
        {"KRAS": "lowers", "MYC": "activates"},
        "`perturbation_direction` says 'activates' of 'MYC', but what a perturbation does to the "
        "expression of its target is one of ['lowers', 'raises', 'unknown']. Choose one of them.",
    )


def test_names_that_are_no_perturbation_are_refused():
    refuses(
        {"KRAZ": "lowers"},
        "`perturbation_direction` names 'KRAZ', but the screen has no such perturbation. The "
        "perturbations closest to 'KRAZ' are ['KRAS']. Name single perturbations; in a combination "
        "each keeps its own direction.",
    )


def test_set_up_checks_directions_against_what_was_run_or_has_features(adata):
    with pytest.raises(ValueError, match="`perturbation_direction` names 'vehicle'"):
        GIM.setup_anndata(adata, **SETUP, perturbation_direction={"vehicle": "lowers"})
    with pytest.raises(ValueError, match=r"`perturbation_direction` names 'B\+A'"):
        GIM.setup_anndata(adata, **SETUP, perturbation_direction={"B+A": "lowers"})
