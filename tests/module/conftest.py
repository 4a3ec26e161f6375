import pytest
import torch

from scgim.module import GIMModule

N_GENES, N_NODES, N_CELLS = 20, 3, 32


def make_module(seed=0, **options):
    """Module of four labels: control, two perturbations and their combination."""
    torch.manual_seed(seed)
    components = torch.tensor([[-1, -1], [0, -1], [1, -1], [0, 1]])
    defaults = {"components": components, "n_perturbations": 2, "n_hidden": 16, "n_obs": N_CELLS}
    module = GIMModule(N_GENES, N_NODES, **(defaults | options))
    generator = torch.Generator().manual_seed(seed)
    for parameter in (module.mechanism.weight, module.mechanism.offset, module.log_theta):
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=generator)
    shift = module.interventions.shift
    shift.data = torch.randn(shift.shape, generator=generator)
    return module


def make_batch(seed=0, **more):
    """Minibatch of 32 cells as the loader gives it."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(N_CELLS)[:, None] % 4
    counts = torch.poisson(5.0 + 20.0 * torch.rand(N_CELLS, N_GENES, generator=generator))
    return {
        "X": counts,
        "batch": torch.arange(N_CELLS)[:, None] % 2,
        "perturbation": label,
        "dose": torch.where(label > 0, 3.0, 0.0),
        **more,
    }


@pytest.fixture(scope="session")
def make():
    return make_module


@pytest.fixture(scope="session")
def batch_of():
    return make_batch


@pytest.fixture
def module():
    return make_module()


@pytest.fixture
def batch():
    return make_batch()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
