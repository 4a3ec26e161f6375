import pytest
import torch

import scgim.scm
from scgim.scm import LinearMechanism, set_nodes

N_NODES = 4


@pytest.fixture
def mechanism():
    mechanism = LinearMechanism(N_NODES).double().requires_grad_(requires_grad=False)
    generator = torch.Generator().manual_seed(0)
    mechanism.weight.normal_(generator=generator)
    mechanism.offset.normal_(generator=generator)
    return mechanism


@pytest.fixture
def nodes():
    return torch.randn(5, N_NODES, generator=torch.Generator().manual_seed(1)).double()


@pytest.fixture
def intervention():
    target = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    return set_nodes(target, 2.0 * target, noise_scale=0.5)


def find(name, instead):
    with pytest.warns(FutureWarning, match=rf"will not be found from 0\.3 on\. .*{instead}"):
        return getattr(scgim.scm, name)


def test_functions_of_the_first_release_do_what_the_methods_do(mechanism, nodes, intervention):
    model = (mechanism.adjacency, mechanism.offset)
    solve = find("solve_intervened", "Mechanism.simulate")
    abduct = find("abduct_noise", "Mechanism.abduct")
    replay = find("replay", "Mechanism.replay")
    torch.testing.assert_close(
        solve(*model, nodes, intervention), mechanism.simulate(nodes, intervention)
    )
    torch.testing.assert_close(abduct(*model, nodes), mechanism.abduct(nodes))
    torch.testing.assert_close(
        replay(*model, nodes, intervention), mechanism.replay(nodes, intervention)
    )


def test_what_was_replaced_is_said():
    with pytest.raises(AttributeError, match=r"in 0\.2 Intervention took its place\. Use that\."):
        _ = scgim.scm.NodeInterventions
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'\.$"):
        _ = scgim.scm.nonsense
