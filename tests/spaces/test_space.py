import inspect

import pytest

from scgim.spaces._genes_space import GenesSpace
from scgim.spaces._latent_space import LatentSpace
from scgim.spaces._space import Space


@pytest.mark.parametrize("space", [GenesSpace, LatentSpace])
def test_every_causal_space_answers_all_questions(space):
    assert not space.__abstractmethods__
    for name in Space.__abstractmethods__:
        question, answer = (inspect.signature(getattr(owner, name)) for owner in (Space, space))
        assert list(answer.parameters) == list(question.parameters), name


def test_only_weights_that_are_trained_by_gradients_need_minibatches():
    assert LatentSpace.trains_weights
    assert not GenesSpace.trains_weights
