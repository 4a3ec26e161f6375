from dataclasses import dataclass

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.cli._screen_file import describe_run, read_screen


@dataclass(frozen=True)
class Settings:
    features: str | None = None
    layer: str | None = None


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "screen.h5ad"
    ad.AnnData(np.ones((2, 2), np.float32)).write_h5ad(path)
    return path


def test_features_of_a_file_are_put_beside_the_cells(file, tmp_path):
    table = tmp_path / "features.csv"
    table.write_text("drug,mass\nA,1.5\n")
    adata, key = read_screen(file, Settings(features=str(table)))
    pd.testing.assert_series_equal(adata.uns[key].loc["A"], pd.Series({"mass": 1.5}, name="A"))
    assert read_screen(file, Settings())[1] is None


def test_a_layer_that_is_not_there_is_named(file):
    with pytest.raises(ValueError, match="'count'"):
        read_screen(file, Settings(layer="count"))


def test_versions_file_and_settings_are_told(file):
    told = describe_run(file, Settings(layer="counts"))
    assert told["file"] == "screen.h5ad"
    assert told["layer"] == "counts"
    assert {"scgim", "torch", "scvi-tools"} <= set(told)


@pytest.mark.parametrize("content", [b"drug,gene_0\nA,1\n", b"", b"\x89HDF\r\n\x1a\n broken"])
def test_a_file_that_is_no_screen_is_named(tmp_path, content):
    path = tmp_path / "screen.h5ad"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"screen\.h5ad cannot be read as an AnnData file"):
        read_screen(path, Settings())
