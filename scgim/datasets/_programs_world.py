"""World P: a simulated screen of a cell whose gene programs form a causal graph."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, TypedDict

import numpy as np
import pandas as pd

from scgim._messages import check_at_least, check_choice
from scgim.datasets._checks import check_held_out_counts, check_world_sizes
from scgim.datasets._drug_world import DrugWorld
from scgim.datasets._simulated_cell import SimulatedCell, signed_uniform
from scgim.datasets._simulated_drugs import SimulatedDrugs

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

CONTROL = "vehicle"
SCENARIOS = ("linear", "tanh", "hard")
SPLITS = ("interior_dose", "top_dose", "unseen_drug", "unseen_sum")
N_CENTRE_FEATURES = 12
SHIFT_SIZE = 2.5
EC50_LOG10_SD = 0.5


class _Drugs(NamedTuple):
    """Everything that is true of the drugs of a world; rows follow ``names``."""

    names: list[str]
    role: NDArray[np.str_]  # (n_drugs,) "training", "unseen_drug" or "unseen_sum"
    mechanism_class: list[str]
    features: NDArray[np.float64]  # (n_drugs, n_features) centre + noise, then potency
    shifts: NDArray[np.float64]  # (n_drugs, n_nodes) at saturating dose
    log10_ec50: NDArray[np.float64]  # (n_drugs,)


class ProgramsTruth(TypedDict):
    """What is true of a :class:`ProgramsWorld`.

    Attributes
    ----------
    adjacency
        Edge weights ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    loadings
        Change of a gene's log-rate per unit of a node, shape ``(n_genes, n_nodes)``.
    targets
        Which nodes each drug targets, drugs x nodes.
    shifts
        Shift at saturating dose, drugs x nodes.
    log10_ec50
        One column ``log10_ec50``, one row per drug.
    mechanism_class
        One column ``mechanism_class``, one row per drug; sums are written ``"class_0+class_1"``.
    """

    adjacency: NDArray[np.float64]
    loadings: NDArray[np.float64]
    targets: pd.DataFrame
    shifts: pd.DataFrame
    log10_ec50: pd.DataFrame
    mechanism_class: pd.DataFrame


@dataclass(frozen=True)
class ProgramsWorld(DrugWorld):
    r"""A simulated drug screen whose mechanisms, targets and potencies are known.

    A cell has gene programs (nodes) in a random acyclic causal graph. Drugs come in mechanism
    classes; a class has one target node, 40 % have a second. A drug moves the mechanisms of its
    targets by :math:`2.5\,U(.85, 1.15)` times a sign times :math:`d / (d + EC_{50})`, with log10 EC50
    from N(0, .5). Features of a drug are the noisy centre of its class and its log10 EC50. Genes
    load on one program, some on two or none; counts are negative binomial.

    Parameters
    ----------
    seed
        Seed of everything that is true of the world. The same seed and sizes give the same world.
    scenario
        ``"linear"``: linear mechanisms and shift interventions. ``"tanh"``: parents enter as
        ``1.3 tanh(1.2 z)``. ``"hard"``: interventions also remove the share ``h(dose)`` of the
        contribution of the target's parents.
    n_nodes
        Gene programs.
    n_genes
        Genes.
    n_control
        Control cells of the screen.
    n_cells
        Cells per condition of the screen.
    n_classes
        Mechanism classes.
    n_drugs
        Training drugs.
    n_unseen
        Unseen drugs of known classes.
    n_sums
        Unseen drugs whose descriptor and targets are the sum of two classes.
    n_interior
        Interior-dose conditions of training drugs that the screen leaves out.
    n_top
        Top-dose conditions of training drugs that the screen leaves out.
    log10_doses
        Doses of each drug, as log10.

    See Also
    --------
    simulate_screen : The screen of a world in one call.

    Examples
    --------
    >>> world = ProgramsWorld(n_genes=40, n_control=20, n_cells=2)
    >>> world.screen().shape
    (252, 40)
    """

    seed: int = 0
    _: KW_ONLY
    scenario: Literal["linear", "tanh", "hard"] = "linear"
    n_nodes: int = 10
    n_genes: int = 500
    n_control: int = 2000
    n_cells: int = 50
    n_classes: int = 8
    n_drugs: int = 32
    n_unseen: int = 8
    n_sums: int = 4
    n_interior: int = 8
    n_top: int = 4
    log10_doses: tuple[float, ...] = (-1.5, -0.5, 0.5, 1.5)

    _first_stream: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Check the sizes."""
        check_choice("scenario", self.scenario, SCENARIOS)
        for name in (
            "n_nodes",
            "n_genes",
            "n_control",
            "n_cells",
            "n_classes",
            "n_drugs",
        ):
            check_at_least(name, getattr(self, name), 1)
        for name in ("n_unseen", "n_sums", "n_interior", "n_top"):
            check_at_least(name, getattr(self, name), 0)
        check_world_sizes(
            n_nodes=self.n_nodes,
            n_classes=self.n_classes,
            n_sums=self.n_sums,
            n_drugs=self.n_drugs,
        )
        check_held_out_counts(
            n_interior=self.n_interior,
            n_top=self.n_top,
            n_drugs=self.n_drugs,
            n_doses=len(self.log10_doses),
        )

    @property
    def drug_features(self) -> pd.DataFrame:
        """Features of all drugs, seen and unseen: one row per drug."""
        columns = [f"descriptor_{index}" for index in range(N_CENTRE_FEATURES)]
        index = pd.Index(self._drugs.names, name="drug")
        return pd.DataFrame(self._drugs.features, index=index, columns=[*columns, "potency"])

    @property
    def training_conditions(self) -> pd.DataFrame:
        """Conditions of the screen's treated cells: columns ``drug`` and ``dose``."""
        return self._all_conditions.query("split == 'training'")[["drug", "dose"]].reset_index(
            drop=True
        )

    @property
    def held_out(self) -> pd.DataFrame:
        """Conditions that the screen leaves out: columns ``drug``, ``dose`` and ``split``."""
        held_out = self._all_conditions.query("split != 'training'")
        order = held_out["split"].map(SPLITS.index)
        held_out = held_out.iloc[np.argsort(order.to_numpy(), kind="stable")]
        return held_out.set_index(pd.Index([f"condition_{i}" for i in range(len(held_out))]))

    @property
    def truth(self) -> ProgramsTruth:
        """What is true of the world: graph, loadings, and targets and potencies of all drugs."""
        drugs = self._drugs
        index = pd.Index(drugs.names, name="drug")
        nodes = [f"node_{node}" for node in range(self.n_nodes)]
        shifts = pd.DataFrame(drugs.shifts, index=index, columns=nodes)
        return {
            "adjacency": self._cell.adjacency.copy(),
            "loadings": self._cell.loadings.copy(),
            "targets": shifts != 0,
            "shifts": shifts,
            "log10_ec50": pd.DataFrame({"log10_ec50": drugs.log10_ec50}, index=index),
            "mechanism_class": pd.DataFrame(
                {"mechanism_class": drugs.mechanism_class}, index=index
            ),
        }

    def screen(self) -> ad.AnnData:
        """Simulate the training cells of the screen.

        Returns
        -------
        Counts of control and treated cells (CSR, float32), with ``obs["drug"]``, ``obs["dose"]``
        (linear units, 0 for control cells), ``uns["drug_features"]``, ``uns["held_out"]``,
        ``uns["truth"]`` and the true node values of each cell in ``obsm["true_nodes"]``.
        """
        adata = self._simulate(self.training_conditions)
        adata.uns["drug_features"] = self.drug_features
        adata.uns["held_out"] = self.held_out
        adata.uns["truth"] = self.truth
        return adata

    @cached_property
    def _cell(self) -> SimulatedCell:
        return SimulatedCell.draw(
            np.random.default_rng(self.seed),
            n_nodes=self.n_nodes,
            n_genes=self.n_genes,
            saturating=self.scenario == "tanh",
        )

    @cached_property
    def _drugs(self) -> _Drugs:
        return _draw_drugs(np.random.default_rng([self.seed, 0]), self)

    @cached_property
    def _all_conditions(self) -> pd.DataFrame:
        """Every drug at every dose with its split, "training" for what the screen contains."""
        rng = np.random.default_rng([self.seed, 4])
        doses = 10.0 ** np.asarray(self.log10_doses)
        n_drugs, n_doses = len(self._drugs.names), len(doses)
        split = np.repeat(self._drugs.role[:, None], n_doses, axis=1).astype(object)
        chosen = rng.permutation(self.n_drugs)[: self.n_interior + self.n_top]
        interior, top = chosen[: self.n_interior], chosen[self.n_interior :]
        by_dose = np.argsort(doses)
        if self.n_interior:
            split[interior, rng.choice(by_dose[1:-1], self.n_interior)] = "interior_dose"
        split[top, by_dose[-1]] = "top_dose"
        return pd.DataFrame(
            {
                "drug": np.repeat(self._drugs.names, n_doses),
                "dose": np.tile(doses, n_drugs),
                "split": split.ravel().astype(str),
            }
        )

    @cached_property
    def simulator(self) -> SimulatedDrugs:
        """The true cell and the true interventions of all drugs."""
        drugs = self._drugs
        return SimulatedDrugs(
            self._cell,
            drugs.names,
            drugs.shifts,
            drugs.log10_ec50,
            control=CONTROL,
            is_hard=self.scenario == "hard",
        )


def simulate_screen(
    seed: int = 0,
    *,
    scenario: Literal["linear", "tanh", "hard"] = "linear",
    n_genes: int = 500,
    n_control: int = 2000,
    n_cells: int = 50,
) -> ad.AnnData:
    """Simulate a drug screen with known truth.

    Parameters
    ----------
    seed
        Seed of the world and its cells.
    scenario
        Kind of mechanisms and interventions, see :class:`ProgramsWorld`.
    n_genes
        Genes.
    n_control
        Control cells.
    n_cells
        Cells per condition; there are 116 conditions.

    Returns
    -------
    The training cells, ready for ``GIM.setup_anndata`` with ``perturbation_key="drug"``,
    ``control="vehicle"``, ``dose_key="dose"`` and ``features_key="drug_features"``.

    See Also
    --------
    ProgramsWorld : More sizes, and fresh cells of any condition.

    Examples
    --------
    >>> adata = simulate_screen(n_genes=40, n_control=20, n_cells=2)
    >>> sorted(adata.uns)
    ['drug_features', 'held_out', 'truth']
    """
    world = ProgramsWorld(
        seed, scenario=scenario, n_genes=n_genes, n_control=n_control, n_cells=n_cells
    )
    return world.screen()


def _draw_drugs(rng: np.random.Generator, world: ProgramsWorld) -> _Drugs:
    class_shifts = _draw_class_shifts(rng, world.n_classes, world.n_nodes)
    centres = rng.standard_normal((world.n_classes, N_CENTRE_FEATURES))
    weights, classes = _draw_class_weights(rng, world)
    n_drugs = len(weights)
    names = [f"drug_{drug:02d}" for drug in range(n_drugs)]
    role = np.repeat(
        ["training", "unseen_drug", "unseen_sum"],
        [world.n_drugs, world.n_unseen, world.n_sums],
    )
    descriptors = weights @ centres + 0.3 * rng.standard_normal((n_drugs, N_CENTRE_FEATURES))
    log10_ec50 = rng.normal(0.0, EC50_LOG10_SD, n_drugs)
    size = SHIFT_SIZE * rng.uniform(0.85, 1.15, (n_drugs, 1))
    shifts = size * (weights @ class_shifts)
    features = np.column_stack([descriptors, log10_ec50])
    return _Drugs(names, role, classes, features, shifts, log10_ec50)


def _draw_class_shifts(
    rng: np.random.Generator, n_classes: int, n_nodes: int
) -> NDArray[np.float64]:
    """Signed targets of each class: a first node that no other class has first, 40 % a second."""
    shifts = np.zeros((n_classes, n_nodes))
    classes = np.arange(n_classes)
    first = rng.permutation(n_nodes)[:n_classes]
    shifts[classes, first] = signed_uniform(rng, 1.0, 1.0, n_classes)
    if n_nodes > 1:
        has_second = rng.random(n_classes) < 0.4
        second = (first + rng.integers(1, n_nodes, size=n_classes)) % n_nodes
        signs = signed_uniform(rng, 1.0, 1.0, n_classes)
        shifts[classes[has_second], second[has_second]] = signs[has_second]
    return shifts


def _draw_class_weights(
    rng: np.random.Generator, world: ProgramsWorld
) -> tuple[NDArray[np.float64], list[str]]:
    """Membership of drugs in classes, ``(n_drugs, n_classes)``: one 1 per row, two for sums."""
    single = [*np.arange(world.n_drugs), *np.arange(world.n_unseen)]
    members = [(int(drug) % world.n_classes,) for drug in single]
    pairs = list(combinations(range(world.n_classes), 2))
    chosen = rng.permutation(len(pairs))[: world.n_sums]
    members += [pairs[pair] for pair in chosen]
    weights = np.zeros((len(members), world.n_classes))
    for drug, classes in enumerate(members):
        weights[drug, list(classes)] = 1.0
    return weights, ["+".join(f"class_{index}" for index in classes) for classes in members]
