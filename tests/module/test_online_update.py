import torch
from torch import nn

from scgim.module import grow_state, learn_only_new


class Small(nn.Module):
    def __init__(self, n_batch, n_perturbations):
        super().__init__()
        self.encoder = nn.Linear(2 + n_batch, 3)
        self.interventions = nn.Linear(4, n_perturbations, bias=False)
        self.register_buffer("components", torch.arange(n_perturbations))


def test_what_was_learned_is_the_leading_block():
    known, new = Small(1, 2), Small(3, 4)
    state = grow_state(known.state_dict(), new.state_dict())
    torch.testing.assert_close(state["encoder.weight"][:, :3], known.encoder.weight.data)
    torch.testing.assert_close(state["encoder.bias"], known.encoder.bias.data)
    torch.testing.assert_close(state["interventions.weight"][:2], known.interventions.weight.data)


def test_a_new_batch_has_no_effect_and_a_new_perturbation_starts_as_in_training():
    new = Small(3, 4)
    state = grow_state(Small(1, 2).state_dict(), new.state_dict())
    assert (state["encoder.weight"][:, 3:] == 0).all()
    torch.testing.assert_close(state["interventions.weight"][2:], new.interventions.weight.data[2:])


def test_labels_are_those_of_the_new_screen():
    new = Small(1, 4)
    new.components.copy_(torch.tensor([3, 2, 1, 0]))
    state = grow_state(Small(1, 2).state_dict(), new.state_dict())
    assert state["components"].tolist() == [3, 2, 1, 0]


def test_only_new_weights_learn():
    known, new = Small(1, 2), Small(2, 3)
    state = grow_state(known.state_dict(), new.state_dict())
    new.load_state_dict(state)
    assert learn_only_new(new, known.state_dict()) == 3 + 4
    optimizer = torch.optim.AdamW(
        [p for p in new.parameters() if p.requires_grad], lr=0.1, weight_decay=0.0
    )
    loss = new.encoder(torch.ones(1, 4)).sum() + new.interventions(torch.ones(1, 4)).sum()
    loss.backward()
    optimizer.step()
    for name, parameter in new.named_parameters():
        block = tuple(slice(size) for size in known.state_dict()[name].shape)
        torch.testing.assert_close(parameter[block], state[name][block], rtol=0, atol=0)
    assert not torch.equal(new.encoder.weight, state["encoder.weight"])
    assert not torch.equal(new.interventions.weight, state["interventions.weight"])


def test_nothing_new_leaves_nothing_to_learn():
    known = Small(1, 2)
    assert learn_only_new(Small(1, 2), known.state_dict()) == 0
