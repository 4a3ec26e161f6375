"""Loaders of real screens, read from the folder that the variable ``SCGIM_DATA`` names."""

from __future__ import annotations

import os

import anndata as ad
import numpy as np
import pandas as pd

from scgim._messages import check_choice
from scgim.datasets._checks import check_data_file, check_data_folder

DATA_VARIABLE = "SCGIM_DATA"
FEATURES_KEY = "perturbation_features"
DREAM4_NETWORKS = {10: (1, 2, 3, 4, 5), 100: (1, 2)}


def sciplex2_a549() -> ad.AnnData:
    """Load A549 cells treated with seven doses of dexamethasone (Srivatsan 2020, Science 367:45).

    500 cells x 198 genes, UMI counts. Set up with ``perturbation_key="perturbation"``,
    ``control="control"`` and ``dose_key="dose"``.

    Returns
    -------
    Counts; ``uns["perturbation_features"]`` holds an indicator of the one drug.
    """
    return _load_screen("sciplex2_a549_dex_small")


def papalexi2021(*, confident_only: bool = True) -> ad.AnnData:
    """Load an ECCITE-seq screen of 25 knock-outs in THP-1 cells (Papalexi 2021, Nat Genet 53:322).

    20,729 cells x 299 genes, UMI counts, replicates in ``obs["bio_rep"]``. Nine of the 25 targets
    are measured (``uns["known_targets"]``). Set up with ``perturbation_key="perturbation"`` and
    ``control="control"``.

    Parameters
    ----------
    confident_only
        Keep only cells whose guide is certain (``obs["confident"]``).

    Returns
    -------
    Counts; ``uns["perturbation_features"]`` holds an indicator of each knock-out.
    """
    adata = _load_screen("papalexi2021_sub299")
    return adata[adata.obs["confident"].to_numpy()].copy() if confident_only else adata


def hill2018() -> ad.AnnData:
    """Load a CROP-seq screen of 29 tumour suppressors in MCF10A (Hill 2018, Nat Methods 15:271).

    5,698 cells x 28 genes, UMI counts; 27 of 29 targets are measured, weakly. Set up with
    ``perturbation_key="perturbation"`` and ``control="control"``.

    Returns
    -------
    Counts; ``uns["perturbation_features"]`` holds an indicator of each knock-out.
    """
    return _load_screen("hill2018_mcf10a_dox28")


def norman2019() -> ad.AnnData:
    """Load a small part of a CRISPRa screen with pairs of genes (Norman 2019, Science 365:786).

    3,375 cells x 500 genes, recovered UMI counts, pairs written ``"A+B"``. Hardly any signal is left
    at this size: it serves to test combinations. Set up with ``perturbation_key="perturbation"`` and
    ``control="control"``.

    Returns
    -------
    Counts; ``uns["perturbation_features"]`` holds an indicator of each single gene.
    """
    return _load_screen("norman2019_sub500")


def sachs2005() -> ad.AnnData:
    """Load flow cytometry of 11 signalling proteins under 7 reagents (Sachs 2005, Science 308:523).

    7,466 cells x 11 proteins; ``layers["log1p"]`` is the scale to model. The control is the
    stimulation ``"cd3cd28"``, on top of which most reagents were given; PMA and b2cAMP lack it, so
    their shift mixes two changes. Consensus graphs are in ``uns["consensus_edges"]``,
    ``uns["edges_bnlearn17"]`` and ``uns["edges_cmu20"]``. Set up with
    ``perturbation_key="perturbation"``, ``control="cd3cd28"`` and ``layer="log1p"``.

    Returns
    -------
    Fluorescence; ``uns["perturbation_features"]`` holds an indicator of each reagent.
    """
    return _load_screen("sachs2005_main9_cc0")


def hdstim_cytof() -> ad.AnnData:
    """Load mass cytometry of blood cells under four stimuli (HDStIM, NIAID).

    4,000 cells x 30 markers on the arcsinh scale, eight populations in ``obs["cell_type"]``. Stimulus
    names are a reading of ``obs["stim_type"]``. Set up with ``perturbation_key="perturbation"`` and
    ``control="control"``.

    Returns
    -------
    Marker intensities; ``uns["perturbation_features"]`` holds an indicator of each stimulus.
    """
    return _load_screen("hdstim_chi11_cytof")


def korkut2015() -> ad.AnnData:
    """Load bulk protein responses to 12 drugs and their pairs (Korkut 2015, eLife 4:e04640).

    89 profiles x 87 proteins, log2 ratio to untreated cells, so there are no control profiles: the
    control is 0 by construction. Doses are text in the source's order (``"1.5+6"``);
    ``obsm["drug_activity"]`` holds them as numbers on the source's scale.

    Returns
    -------
    Log2 ratios; ``uns["perturbation_features"]`` holds an indicator of each single drug.
    """
    return _load_screen("korkut2015_cellbox_bulk")


def dream4(size: int = 10, index: int = 1) -> ad.AnnData:
    """Load a simulated gene network with its gold graph (DREAM4, Marbach 2010).

    Every gene is knocked out (dose 1) and knocked down (dose 0.5); ``obs["experiment"]`` says which
    kind of experiment a profile is from, ``uns["consensus_edges"]`` is the graph. Set up with
    ``perturbation_key="perturbation"``, ``control="control"`` and ``dose_key="dose"``.

    Parameters
    ----------
    size
        Number of genes, 10 or 100.
    index
        Which network of that size: 1 to 5 for 10 genes, 1 or 2 for 100.

    Returns
    -------
    Expression; ``uns["perturbation_features"]`` holds an indicator of each perturbed gene.
    """
    check_choice("size", size, DREAM4_NETWORKS)
    check_choice("index", index, DREAM4_NETWORKS[size])
    return _load_screen(f"dream4_size{size}_{index}")


def sciplex_drugs() -> pd.DataFrame:
    """Load the 188 compounds of sci-Plex3: SMILES, target, pathway, doses in nM, RDKit descriptors.

    Returns
    -------
    One row per compound, indexed by catalogue number.
    """
    return _load_table("sciplex_drugs.csv").set_index("catalog_number")


def sciplex_fingerprints() -> pd.DataFrame:
    """Load Morgan fingerprints (radius 2, 1,024 bits) of the 188 compounds of sci-Plex3.

    Returns
    -------
    Bits, one row per compound in the order of :func:`sciplex_drugs`.
    """
    with np.load(_find("sciplex_drugs_morgan1024.npz"), allow_pickle=False) as arrays:
        bits, catalog_number = arrays["fp"], arrays["catalog_number"]
    columns = [f"bit_{bit}" for bit in range(bits.shape[1])]
    return pd.DataFrame(
        bits, index=pd.Index(catalog_number, name="catalog_number"), columns=columns
    )


def sciplex_hdac_ic50() -> pd.DataFrame:
    """Load the IC50 (nM) of 15 inhibitors on each isoform of histone deacetylase.

    Returns
    -------
    One row per inhibitor, indexed by catalogue number.
    """
    return _load_table("sciplex_hdac_ic50.csv").set_index("catalog_number")


def compound_targets() -> pd.DataFrame:
    """Load 1,046 compounds with SMILES, gene targets and mechanism of action.

    Returns
    -------
    One row per compound, indexed by its short Broad identifier.
    """
    return _load_table("compound_target_moa_1046.csv").set_index("broad_short")


def sachs_reagents() -> pd.DataFrame:
    """Load the reagents of Sachs 2005 with SMILES, target and sign.

    Returns
    -------
    One row per reagent, indexed by its name; SMILES are missing where the source does not tell.
    """
    return _load_table("sachs_reagents.csv").set_index("reagent")


def _find(name: str) -> os.PathLike[str]:
    folder = check_data_folder(DATA_VARIABLE, os.environ.get(DATA_VARIABLE))
    return check_data_file(DATA_VARIABLE, folder / name)


def _load_table(name: str) -> pd.DataFrame:
    return pd.read_csv(_find(name))


def _load_screen(name: str) -> ad.AnnData:
    adata = ad.read_h5ad(_find(f"{name}.h5ad"))
    adata.uns[FEATURES_KEY] = _indicators(adata.obs)
    return adata


def _indicators(obs: pd.DataFrame) -> pd.DataFrame:
    """One column and one row per single perturbation, 1.0 where they agree."""
    treated = obs.loc[~obs["is_control"].to_numpy(dtype=bool), "perturbation"].astype(str)
    names = sorted({part for name in treated.unique() for part in name.split("+")})
    index = pd.Index(names, name="perturbation")
    return pd.DataFrame(np.eye(len(names)), index=index, columns=names)
