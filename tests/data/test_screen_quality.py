import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from scgim.data._screen_quality import find_hidden_groups, look_at_screen

GENES = pd.Index([f"gene_{i}" for i in range(60)])


def control_cells(n_cells=400, seed=0, programs=3):
    """Counts of one cell line: programs of genes vary without groups."""
    rng = np.random.default_rng(seed)
    rates = np.exp(
        rng.normal(size=(n_cells, programs)) @ rng.normal(0, 0.5, (programs, 60))
        + rng.normal(size=60)
    )
    rates /= rates.sum(1, keepdims=True)
    return rng.poisson(rng.lognormal(7, 0.3, (n_cells, 1)) * rates).astype(np.float32)


@pytest.mark.parametrize("seed", range(5))
def test_one_cell_line_is_no_two_groups(seed):
    obs = pd.DataFrame(index=range(400))
    assert find_hidden_groups(control_cells(seed=seed), obs, GENES, []) is None


@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("is_transformed", [True, False])
def test_an_undeclared_cell_line_is_found_with_its_genes_and_its_column(share, is_transformed):
    cells, is_other = control_cells(), np.random.default_rng(1).random(400) < share
    cells[is_other, 20:40] *= 10
    cells = np.log1p(cells / cells.sum(1, keepdims=True) * 1e4) if is_transformed else cells
    obs = pd.DataFrame({"line": np.where(is_other, "MCF7", "K562"), "well": np.arange(400) % 7})
    obs["rare"] = np.arange(400) < 8
    groups = find_hidden_groups(cells, obs, GENES, [])
    assert groups.share == pytest.approx(min(is_other.mean(), 1 - is_other.mean()), abs=0.02)
    assert len(groups.genes) == 5
    assert groups.columns == ("line",)
    assert "two groups" in str(groups)
    assert find_hidden_groups(cells, obs, GENES, ["line"]) is None


def screen(cells, *, extra=0):
    n_cells = len(cells)
    obs = pd.DataFrame(
        {
            "drug": pd.Categorical(
                np.where(np.arange(n_cells) < n_cells - 45, "DMSO", "A"), ["DMSO", "A", "never run"]
            ),
            "dose": np.where(np.arange(n_cells) < n_cells - 45, 0.0, 1.0),
            "plate": np.where(np.arange(n_cells) % 2, "p1", "p2"),
        }
    )
    obs.loc[n_cells - 5 :, "dose"] = 10.0
    return ad.AnnData(
        sp.csr_matrix(cells), obs=obs.set_axis(obs.index.map(str)), var=pd.DataFrame(index=GENES)
    )


def look(adata, **options):
    return look_at_screen(
        adata,
        adata.X,
        **{
            "perturbation_key": "drug",
            "control": "DMSO",
            "dose_key": "dose",
            "batch_key": "plate",
            "declared": ["plate"],
        }
        | options,
    )


def test_a_good_screen_is_told_in_one_paragraph_and_warned_of_nothing(recwarn):
    check = look(screen(control_cells()))
    check.warn()
    assert not recwarn
    assert (check.n_cells, check.n_control, check.doses) == (400, 355, (1.0, 10.0))
    assert check.few_cells == ("A at 10",)
    assert check.unused_categories == ("never run",)
    assert set(check.totals) == {"p1", "p2"}
    text = repr(check)
    assert text.startswith("400 cells, 355 of them control, of 1 labels. Doses 1, 10. Median total")
    assert "1 conditions with fewer than 10 cells. Categories without a cell: 'never run'." in text
    assert "\n" not in text


@pytest.mark.parametrize("kind", [sp.csr_matrix, np.asarray])
def test_cells_that_were_read_twice_are_counted_and_warned_of(kind):
    cells = control_cells()
    cells[100:110] = cells[:10]
    adata = screen(cells)
    adata.X = kind(cells)
    check = look(adata)
    assert check.n_duplicated == 10
    with pytest.warns(UserWarning, match="10 of 400 cells have exactly the expression of another"):
        check.warn()


def test_hidden_groups_are_warned_of():
    cells = control_cells()
    cells[::3, 20:40] *= 15
    with pytest.warns(UserWarning, match=r"^Control cells fall into two groups.*`batch_key`"):
        look(screen(cells)).warn()


def test_screens_without_doses_batches_or_enough_cells_are_looked_at():
    cells = control_cells(60)
    check = look(screen(cells), dose_key=None, batch_key=None, declared=[])
    assert check.doses == ()
    assert list(check.totals) == [""]
    assert check.hidden_groups is None
