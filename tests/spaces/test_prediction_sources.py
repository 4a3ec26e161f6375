from types import SimpleNamespace

from scgim.scm.generator._stack_loss import CAUSAL, KERNEL, POPULATION
from scgim.spaces._prediction_sources import describe_sources

STACK = SimpleNamespace(
    weights={
        "near": {POPULATION: 0.5, KERNEL: 0.3, CAUSAL: 0.0},
        "far": {POPULATION: 0.9, CAUSAL: 0.3},
    },
    left_out_r2={POPULATION: 0.2, KERNEL: 0.25, CAUSAL: 0.1, "used": 0.3},
)


def test_a_sentence_names_shares_and_the_nearest_perturbation():
    table = describe_sources(["new"], {"new": ("near", ["aspirin", "ibuprofen"])}, STACK)
    text = table.text[0]
    assert text.startswith("50% what most perturbations do at this dose, 30% perturbations with")
    assert "aspirin first" in text
    assert text.endswith("20% no effect.")
    assert table.weight.tolist() == [0.5, 0.3, 0.0]
    assert table.nearest[0] == "aspirin, ibuprofen"


def test_weights_above_one_are_read_as_shares():
    table = describe_sources(["new"], {"new": ("far", ["aspirin"])}, STACK)
    assert "75% what most" in table.text[0]
    assert "far from those of all" in table.text[0]
    assert "no effect" not in table.text[0]


def test_a_perturbation_that_was_run_rests_on_its_own_cells():
    table = describe_sources(["run"], {}, STACK)
    assert table.source.tolist() == ["own cells"]
    assert "own cells" in table.text[0]


def test_without_a_stack_the_causal_generator_is_all():
    table = describe_sources(["new"], {"new": ("near", [])}, None)
    assert table.source.tolist() == [CAUSAL]
