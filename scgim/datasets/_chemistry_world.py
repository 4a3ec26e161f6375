"""World C: a simulated screen of the 188 real compounds of sci-Plex3."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from scgim._messages import check_at_least, check_at_most, check_choice
from scgim.datasets._drug_world import DrugWorld
from scgim.datasets._real import sciplex_drugs, sciplex_fingerprints
from scgim.datasets._simulated_cell import SimulatedCell, signed_uniform
from scgim.datasets._simulated_drugs import SimulatedDrugs

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

CONTROL = "vehicle"
FEATURES = ("structure", "annotations")
DOSES = (10.0, 100.0, 1000.0, 10_000.0)
# log10 EC50 is drawn on a scale on which the doses are -1.5, -0.5, 0.5 and 1.5.
CENTRE_LOG10_DOSE = 2.5
UNKNOWN_TARGET = "Others"
SAME_AS_PATHWAY = 0.5
HAS_SECOND_PROGRAM = 0.4
IS_INACTIVE = 0.15
SHIFT_SIZE = 2.5
TARGET_EC50_SD = 0.5
DRUG_EC50_SD = 0.4
EC50_LIMIT = 1.5
N_DRUGS = 188


class _Truth(NamedTuple):
    """What is true of targets and drugs."""

    target_effects: pd.DataFrame  # targets x nodes
    shifts: pd.DataFrame  # drugs x nodes, at saturating dose
    log10_ec50: pd.Series  # per drug, log10 nM


class ChemistryTruth(TypedDict):
    """What is true of a :class:`ChemistryWorld`.

    Attributes
    ----------
    adjacency
        Edge weights ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    loadings
        Change of a gene's log-rate per unit of a node, shape ``(n_genes, n_nodes)``.
    target_effects
        Effect of each annotated target, targets x nodes, before the size of a drug.
    targets
        Which nodes each drug targets, drugs x nodes.
    shifts
        Shift at saturating dose, drugs x nodes.
    log10_ec50
        One column ``log10_ec50`` (nM), one row per drug.
    """

    adjacency: NDArray[np.float64]
    loadings: NDArray[np.float64]
    target_effects: pd.DataFrame
    targets: pd.DataFrame
    shifts: pd.DataFrame
    log10_ec50: pd.DataFrame


@dataclass(frozen=True)
class ChemistryWorld(DrugWorld):
    r"""A simulated screen of real compounds: real structures, known truth.

    The cell is that of :class:`ProgramsWorld`. Each of the 78 annotated targets of the 188 compounds
    of sci-Plex3 acts on one gene program: with probability .5 on that of its pathway, else on a random
    one; 40 % act on a second, 15 % on none. A drug moves the mechanisms by
    :math:`2.5\,U(.85, 1.15) \sum_t T_t / \sqrt{n_t}` over its targets at saturating dose. Its log10
    EC50 is the mean of those of its targets plus N(0, .4), and is no feature. Doses are 10 to 10,000
    nM. Structure tells the mechanism only as far as similar real compounds share targets, which is
    the point: a model that predicts much more than a ceiling of structure cannot be right.

    Compounds are read from the folder that the variable ``SCGIM_DATA`` names.

    Parameters
    ----------
    seed
        Seed of everything that is true of the world. The same seed and sizes give the same world.
    features
        ``"structure"``: Morgan fingerprint and eight descriptors. ``"annotations"``: annotated targets
        and pathway as well.
    n_nodes
        Gene programs.
    n_genes
        Genes.
    n_control
        Control cells of the screen.
    n_cells
        Cells per drug and dose.
    n_drugs
        Compounds, drawn at random where fewer than all 188.

    See Also
    --------
    ProgramsWorld : The same cell under invented drugs whose features tell everything.
    """

    seed: int = 0
    _: KW_ONLY
    features: Literal["structure", "annotations"] = "structure"
    n_nodes: int = 10
    n_genes: int = 500
    n_control: int = 2000
    n_cells: int = 30
    n_drugs: int = N_DRUGS

    _first_stream: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_choice("features", self.features, FEATURES)
        for name in ("n_nodes", "n_genes", "n_control", "n_cells"):
            check_at_least(name, getattr(self, name), 1)
        check_at_least("n_drugs", self.n_drugs, 2)
        check_at_most("n_drugs", self.n_drugs, N_DRUGS)

    @cached_property
    def drugs(self) -> pd.DataFrame:
        """The compounds by catalogue number: name, SMILES, annotated target and pathway."""
        table = sciplex_drugs()[["name", "smiles", "target", "pathway"]]
        if self.n_drugs < len(table):
            chosen = np.random.default_rng([self.seed, 1]).permutation(len(table))[: self.n_drugs]
            table = table.iloc[np.sort(chosen)]
        return table.rename_axis("drug").fillna("")

    @property
    def drug_features(self) -> pd.DataFrame:
        """Features of all drugs, one row per drug; blocks are named before the colon."""
        structure = self.structure
        return structure if self.features == "structure" else structure.join(self.annotations)

    @property
    def structure(self) -> pd.DataFrame:
        """Eight descriptors ``rdkit:...`` and the bits of the Morgan fingerprint ``morgan:...``."""
        descriptors = sciplex_drugs().filter(like="rdkit_").astype(float)
        descriptors.columns = descriptors.columns.str.replace("rdkit_", "rdkit:")
        bits = sciplex_fingerprints().astype(float)
        bits.columns = bits.columns.str.replace("bit_", "morgan:")
        return descriptors.join(bits).loc[self.drugs.index].rename_axis("drug")

    @property
    def annotations(self) -> pd.DataFrame:
        """Indicators of annotated targets ``target:...`` and of the pathway ``pathway:...``."""
        targets = self.drugs["target"].str.replace(", ", ",").str.get_dummies(",")
        targets = targets.drop(columns=UNKNOWN_TARGET, errors="ignore").add_prefix("target:")
        pathways = self.drugs["pathway"].str.get_dummies().add_prefix("pathway:")
        return targets.join(pathways).astype(float)

    @property
    def conditions(self) -> pd.DataFrame:
        """All drugs at all doses: columns ``drug`` and ``dose`` (nM)."""
        return pd.DataFrame(
            {
                "drug": np.repeat(self.drugs.index, len(DOSES)),
                "dose": np.tile(DOSES, len(self.drugs)),
            }
        )

    @property
    def first_target(self) -> pd.Series:
        """First annotated target of each drug; a target of its own where none is annotated."""
        return pd.Series({drug: targets[0] for drug, targets in self._targets.items()}).rename_axis(
            "drug"
        )

    @property
    def truth(self) -> ChemistryTruth:
        """What is true of the world: graph, loadings, and effects of targets and drugs."""
        truth = self._truth
        return {
            "adjacency": self._cell.adjacency.copy(),
            "loadings": self._cell.loadings.copy(),
            "target_effects": truth.target_effects.copy(),
            "targets": truth.shifts != 0,
            "shifts": truth.shifts.copy(),
            "log10_ec50": truth.log10_ec50.to_frame("log10_ec50"),
        }

    def screen(self) -> ad.AnnData:
        """Simulate the cells of all drugs and doses, and control cells.

        Returns
        -------
        Counts (CSR, float32) with ``obs["drug"]`` (catalogue number), ``obs["dose"]`` (nM, 0 for
        control cells), ``uns["drug_features"]``, ``uns["drugs"]``, ``uns["truth"]`` and the true node
        values of each cell in ``obsm["true_nodes"]``.
        """
        adata = self._simulate(self.conditions)
        adata.uns["drug_features"] = self.drug_features
        adata.uns["drugs"] = self.drugs
        adata.uns["truth"] = self.truth
        return adata

    @cached_property
    def simulator(self) -> SimulatedDrugs:
        """The true cell and the true interventions of all drugs."""
        truth = self._truth
        return SimulatedDrugs(
            self._cell,
            list(truth.shifts.index),
            truth.shifts.to_numpy(),
            truth.log10_ec50.to_numpy(),
            control=CONTROL,
        )

    @cached_property
    def _cell(self) -> SimulatedCell:
        rng = np.random.default_rng(self.seed)
        return SimulatedCell.draw(rng, n_nodes=self.n_nodes, n_genes=self.n_genes)

    @cached_property
    def _targets(self) -> dict[str, list[str]]:
        """Annotated targets of each drug; one of its own where none is annotated."""
        listed = self.drugs["target"].str.split(",")
        named = {
            drug: [name.strip() for name in names if name.strip() not in ("", UNKNOWN_TARGET)]
            for drug, names in listed.items()
        }
        return {str(drug): names or [f"own:{drug}"] for drug, names in named.items()}

    @cached_property
    def _truth(self) -> _Truth:
        rng = np.random.default_rng([self.seed, 0])
        pathway = _pathway_of_target(self._targets, self.drugs["pathway"])
        effects = _draw_target_effects(rng, pathway, self.n_nodes)
        target_ec50 = pd.Series(rng.normal(0.0, TARGET_EC50_SD, len(effects)), index=effects.index)
        drugs = self.drugs.index
        # (n_drugs, n_targets): the share of each target in a drug.
        member = pd.DataFrame(0.0, index=drugs, columns=effects.index)
        for drug, targets in self._targets.items():
            member.loc[drug, targets] = 1.0
        n_targets = member.sum(axis=1).to_numpy()[:, None]
        size = SHIFT_SIZE * rng.uniform(0.85, 1.15, (len(drugs), 1))
        shifts = size * (member.to_numpy() / np.sqrt(n_targets)) @ effects.to_numpy()
        own = rng.normal(0.0, DRUG_EC50_SD, len(drugs))
        mean = (member.to_numpy() / n_targets) @ target_ec50.to_numpy()
        log10_ec50 = np.clip(mean + own, -EC50_LIMIT, EC50_LIMIT) + CENTRE_LOG10_DOSE
        return _Truth(
            target_effects=effects,
            shifts=pd.DataFrame(shifts, index=drugs, columns=effects.columns),
            log10_ec50=pd.Series(log10_ec50, index=drugs),
        )


def _pathway_of_target(targets: dict[str, list[str]], pathway: pd.Series) -> pd.Series:
    """Most common pathway among the drugs of each target; targets sorted."""
    pairs = pd.DataFrame(
        [(name, pathway[drug]) for drug, names in targets.items() for name in names],
        columns=["target", "pathway"],
    )
    return pairs.groupby("target")["pathway"].agg(lambda values: values.mode().iloc[0])


def _draw_target_effects(
    rng: np.random.Generator, pathway: pd.Series, n_nodes: int
) -> pd.DataFrame:
    """Draw which programs each target moves, and in which direction, targets x nodes."""
    pathways = np.unique(pathway)
    program = pd.Series(rng.integers(n_nodes, size=len(pathways)), index=pathways)
    direction = pd.Series(signed_uniform(rng, 1.0, 1.0, len(pathways)), index=pathways)
    n_targets, rows = len(pathway), np.arange(len(pathway))
    follows = rng.random(n_targets) < SAME_AS_PATHWAY
    first = np.where(follows, program[pathway].to_numpy(), rng.integers(n_nodes, size=n_targets))
    own_direction = signed_uniform(rng, 1.0, 1.0, n_targets)
    effects = np.zeros((n_targets, n_nodes))
    effects[rows, first] = np.where(follows, direction[pathway].to_numpy(), own_direction)
    if n_nodes > 1:
        second = (first + rng.integers(1, n_nodes, size=n_targets)) % n_nodes
        strength = signed_uniform(rng, 0.6, 1.0, n_targets)
        has_second = rng.random(n_targets) < HAS_SECOND_PROGRAM
        effects[rows[has_second], second[has_second]] = strength[has_second]
    effects[rng.random(n_targets) < IS_INACTIVE] = 0.0
    columns = [f"node_{node}" for node in range(n_nodes)]
    return pd.DataFrame(effects, index=pathway.index, columns=columns)
