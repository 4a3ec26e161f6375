import inspect

import pytest

from scgim.spaces._genes_space import GenesSpace
from scgim.spaces._latent_space import LatentSpace
from scgim.spaces._space import Space


@pytest.mark.parametrize("space", [GenesSpace, LatentSpace])
def test_every_causal_space_answers_all_questions(space):
    for name, question in vars(Space).items():
        if name.startswith("_"):
            continue
        answer = inspect.getattr_static(space, name)
        assert isinstance(answer, type(question)), name
        if inspect.isfunction(question):
            assert list(inspect.signature(answer).parameters) == list(
                inspect.signature(question).parameters
            ), name
