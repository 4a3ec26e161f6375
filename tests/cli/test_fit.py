import anndata as ad
import pandas as pd
import pytest

from scgim.cli import main
from scgim.datasets import ProgramsWorld

KEYS = ("--perturbation", "drug", "--control", "vehicle", "--dose", "dose")


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    world = ProgramsWorld(
        n_nodes=4,
        n_genes=50,
        n_control=100,
        n_cells=6,
        n_classes=3,
        n_drugs=9,
        n_unseen=2,
        n_sums=1,
        n_interior=2,
        n_top=1,
    )
    adata = world.screen()
    del adata.uns["truth"]
    path = tmp_path_factory.mktemp("screen") / "screen.h5ad"
    adata.write_h5ad(path)
    return path


def _run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        main([str(argument) for argument in arguments])
    return stopped.value.code


@pytest.fixture(scope="module")
def fitted(screen):
    out = screen.parent / "fitted"
    options = ("--features", "drug_features", "--n-nodes", 4, "--max-epochs", 2, "--out", out)
    assert _run("fit", screen, *KEYS, *options) == 0
    return out


def test_model_data_tables_figures_and_report_are_written(fitted):
    assert ad.read_h5ad(fitted / "annotated.h5ad").obsm["X_gim"].shape[1] == 4
    assert (fitted / "model").is_dir()
    tables = {path.stem for path in (fitted / "tables").iterdir()}
    assert tables == {"intervention_targets", "causal_graph", "gene_programs", "dose_response"}
    targets = pd.read_csv(fitted / "tables" / "intervention_targets.csv")
    assert len(targets) == 9 * 4
    page = (fitted / "report.html").read_text()
    assert page.count("data:image/png;base64,") == len(list((fitted / "figures").iterdir()))


def test_users_file_is_not_touched(screen, fitted):
    adata = ad.read_h5ad(screen)
    assert not [key for key in adata.uns if "scvi" in key or "gim" in key]
    assert list(adata.obsm) == ["true_nodes"]


def test_features_may_come_from_a_file(screen, tmp_path):
    adata = ad.read_h5ad(screen)
    adata.uns.pop("drug_features").to_csv(tmp_path / "features.csv")
    adata.write_h5ad(tmp_path / "bare.h5ad")
    options = ("--features", tmp_path / "features.csv", "--n-nodes", 3, "--max-epochs", 1)
    assert _run("fit", tmp_path / "bare.h5ad", *KEYS, *options, "--out", tmp_path / "out") == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--control", "vehicel"), "'vehicle'"),
        (("--perturbation", "drugs"), "['drug'"),
        (("--dose", "doze"), "['dose'"),
        (("--features", "drug_featurs"), "neither a table in `uns` nor a file"),
        (("--layer", "counts"), "counts"),
    ],
)
def test_mistakes_are_one_message_and_exit_code_2(screen, tmp_path, capsys, options, message):
    out = tmp_path / "out"
    code = _run("fit", screen, *KEYS, "--features", "drug_features", *options, "--out", out)
    printed = capsys.readouterr().err
    assert code == 2
    assert "Error: " in printed
    assert message in printed
    assert "Traceback" not in printed
    assert not out.exists()
