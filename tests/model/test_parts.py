from scgim.model import GIM
from scgim.model._parts import ModelParts


def test_a_model_has_what_its_mixins_rely_on(model):
    assert issubclass(GIM, ModelParts)
    for name in ModelParts.__annotations__:
        assert hasattr(model, name), name


def test_genes_are_those_of_the_screen(model):
    assert model._gene_names() == [f"gene_{i}" for i in range(24)]
