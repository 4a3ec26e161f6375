"""World G: a simulated screen of a cell whose measured genes are the nodes of a causal graph."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd

from scgim._messages import check_at_least, check_choice
from scgim.datasets._causal_cell import CausalCell
from scgim.datasets._checks import check_condition_columns, check_known_drugs

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTROL = "vehicle"
CHOICES = {
    "graph": ("er1", "er2", "sf2"),
    "mechanism": ("linear", "mlp"),
    "features": ("linear", "tanh"),
    "sign": ("node", "drug"),
    "intervention": ("shift", "hard", "mixed", "scale"),
}
N_EXTRA_FEATURES = 10
MAX_TARGETS = 3


class _Drugs(NamedTuple):
    """Everything that is true of the drugs of a world; rows follow ``names``."""

    names: list[str]
    shifts: NDArray[np.float64]  # (n_drugs, n_nodes) at saturating dose, signed
    ec50: NDArray[np.float64]  # (n_drugs,) dose of half the effect
    hill: NDArray[np.float64]  # (n_drugs,) slope
    is_hard: NDArray[np.bool_]  # (n_drugs,) clamps its targets instead of shifting them
    features: NDArray[np.float64]  # (n_drugs, n_nodes + 10)


@dataclass(frozen=True)
class GenesWorld:
    r"""A simulated screen in the set-up of the paper on generative intervention models.

    Genes are the nodes of a random acyclic graph, standardised while they are generated, so that
    neither their variance nor their scale tells the order. A drug has one to three targets and moves
    their mechanisms by a sign times :math:`e_{\max} d^n / (\mathrm{EC}_{50}^n + d^n)`. Its features
    are a random linear mixture of targets, :math:`e_{\max}`, :math:`\mathrm{EC}_{50}` and :math:`n`.

    Parameters
    ----------
    seed
        Seed of everything that is true of the world. The same seed and sizes give the same world.
    graph
        ``"er1"``, ``"er2"`` (Erdős-Rényi, 1 or 2 edges per node) or ``"sf2"`` (Barabási-Albert).
    mechanism
        ``"linear"`` or ``"mlp"`` (16 tanh units of the parents).
    features
        ``"linear"``: the mixture itself. ``"tanh"``: its hyperbolic tangent.
    sign
        ``"node"``: drugs move a node in its one direction. ``"drug"``: a drug moves all its targets
        in its one direction, which is much harder for unseen drugs.
    intervention
        ``"shift"``; ``"hard"``: targets lose their parents and half their noise, and are set to the
        shift; ``"mixed"``: every second drug is hard; ``"scale"``: targets keep mean and parents, and
        their noise is multiplied by one plus the size of the shift in deviations.
    n_nodes
        Genes.
    n_drugs
        Training drugs.
    n_unseen
        Unseen drugs.
    n_control
        Control cells of the screen.
    n_cells
        Cells per condition of the screen.
    doses
        Doses of the screen, linear units.
    new_doses
        Held-out doses of the training drugs.

    See Also
    --------
    ProgramsWorld : Counts of many genes that follow a few gene programs.

    Examples
    --------
    >>> world = GenesWorld(n_nodes=5, n_control=20, n_cells=2)
    >>> world.screen().shape
    (340, 5)
    """

    seed: int = 0
    _: KW_ONLY
    graph: Literal["er1", "er2", "sf2"] = "er2"
    mechanism: Literal["linear", "mlp"] = "linear"
    features: Literal["linear", "tanh"] = "linear"
    sign: Literal["node", "drug"] = "node"
    intervention: Literal["shift", "hard", "mixed", "scale"] = "shift"
    n_nodes: int = 20
    n_drugs: int = 40
    n_unseen: int = 20
    n_control: int = 800
    n_cells: int = 50
    doses: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    new_doses: tuple[float, ...] = (0.25, 0.75, 1.25, 1.75, 2.25)

    def __post_init__(self) -> None:
        """Check choices and sizes."""
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_at_least("n_nodes", self.n_nodes, MAX_TARGETS)
        check_at_least("n_unseen", self.n_unseen, 0)
        for name in ("n_drugs", "n_control", "n_cells"):
            check_at_least(name, getattr(self, name), 2)

    @property
    def gene_names(self) -> list[str]:
        """Names of the nodes."""
        return [f"gene_{node}" for node in range(self.n_nodes)]

    @property
    def drug_features(self) -> pd.DataFrame:
        """Features of all drugs, seen and unseen: one row per drug."""
        columns = [f"feature_{index}" for index in range(self._drugs.features.shape[1])]
        return pd.DataFrame(self._drugs.features, index=self._drug_index, columns=columns)

    @property
    def training_conditions(self) -> pd.DataFrame:
        """Conditions of the screen's treated cells: columns ``drug`` and ``dose``."""
        return _cross(self._drugs.names[: self.n_drugs], self.doses)

    @property
    def held_out(self) -> pd.DataFrame:
        """Conditions that the screen leaves out: ``drug``, ``dose``, ``split``.

        ``split`` is ``"new_dose"`` (training drugs at new doses) or ``"unseen_drug"``.
        """
        new_dose = _cross(self._drugs.names[: self.n_drugs], self.new_doses)
        unseen = _cross(self._drugs.names[self.n_drugs :], self.doses)
        held_out = pd.concat(
            [new_dose.assign(split="new_dose"), unseen.assign(split="unseen_drug")],
            ignore_index=True,
        )
        return held_out.set_index(pd.Index([f"condition_{i}" for i in range(len(held_out))]))

    @property
    def truth(self) -> dict[str, NDArray[np.float64] | pd.DataFrame]:
        """What is true of the world, in units of the screen's standardised expression.

        ``adjacency`` (nodes x nodes, ``[parent, child]``; weights, or 1 for MLP edges), and one row
        per drug in ``targets`` (bool per node), ``shifts`` (at saturating dose), ``is_hard``,
        ``log10_ec50`` and ``hill``. In a world of scale interventions ``shifts`` is what they add to
        the factor on the noise, and has no unit.
        """
        drugs = self._drugs
        sd = self._scaling[1]
        adjacency = self._cell.weights
        if self.mechanism == "linear":
            adjacency = adjacency * sd[:, None] / sd
        unit = 1.0 if self.intervention == "scale" else sd
        shifts = pd.DataFrame(drugs.shifts / unit, index=self._drug_index, columns=self.gene_names)
        curve = {"log10_ec50": np.log10(drugs.ec50), "hill": drugs.hill, "is_hard": drugs.is_hard}
        tables = {
            name: pd.DataFrame({name: values}, index=self._drug_index)
            for name, values in curve.items()
        }
        return {"adjacency": adjacency, "targets": shifts != 0, "shifts": shifts, **tables}

    def screen(self) -> ad.AnnData:
        """Simulate the training cells of the screen.

        Returns
        -------
        Expression of control and treated cells, standardised by the control cells (float32), with
        ``obs["drug"]``, ``obs["dose"]`` (linear units, 0 for control), ``uns["drug_features"]``,
        ``uns["held_out"]`` and ``uns["truth"]``.
        """
        rng = np.random.default_rng([self.seed, 2])
        sizes = np.full(len(self.training_conditions), self.n_cells)
        nodes = np.vstack([self._control, self._sample(self.training_conditions, sizes, rng)])
        control = pd.DataFrame({"drug": [CONTROL], "dose": [0.0]})
        conditions = pd.concat([control, self.training_conditions], ignore_index=True)
        adata = self._annotate(conditions, np.append(self.n_control, sizes), nodes)
        adata.uns["drug_features"] = self.drug_features
        adata.uns["held_out"] = self.held_out
        adata.uns["truth"] = self.truth
        return adata

    def sample(self, conditions: pd.DataFrame, n_cells: int, *, seed: int) -> ad.AnnData:
        """Simulate fresh cells of any condition.

        Parameters
        ----------
        conditions
            Columns ``drug`` (a drug of the world, or ``"vehicle"``) and ``dose`` (linear units).
        n_cells
            Cells per row of ``conditions``.
        seed
            Seed of these cells; the world itself does not change.

        Returns
        -------
        Standardised expression with ``obs["drug"]`` and ``obs["dose"]``, cells in the order of
        ``conditions``.
        """
        check_at_least("n_cells", n_cells, 1)
        rng = np.random.default_rng([self.seed, 3, seed])
        sizes = np.full(len(conditions), n_cells)
        return self._annotate(conditions, sizes, self._sample(conditions, sizes, rng))

    def expected_mean(
        self, conditions: pd.DataFrame, *, n_cells: int = 1000, seed: int = 0
    ) -> NDArray[np.float64]:
        """Measure the true mean of conditions on fresh cells.

        Parameters
        ----------
        conditions
            Columns ``drug`` and ``dose``, as for :meth:`sample`.
        n_cells
            Fresh cells per condition; 1,000 leave an error of about .14 at 20 genes.
        seed
            Seed of these cells.

        Returns
        -------
        Mean standardised expression, shape ``(n_conditions, n_nodes)``.
        """
        rng = np.random.default_rng([self.seed, 4, seed])
        sizes = np.full(len(conditions), n_cells)
        nodes = self._standardize(self._sample(conditions, sizes, rng))
        return nodes.reshape(len(conditions), n_cells, self.n_nodes).mean(axis=1)

    @property
    def _drug_index(self) -> pd.Index:
        return pd.Index(self._drugs.names, name="drug")

    @cached_property
    def _cell(self) -> CausalCell:
        return CausalCell.draw(
            np.random.default_rng(self.seed),
            graph=self.graph,
            mechanism=self.mechanism,
            n_nodes=self.n_nodes,
        )

    @cached_property
    def _drugs(self) -> _Drugs:
        return _draw_drugs(np.random.default_rng([self.seed, 0]), self)

    @cached_property
    def _control(self) -> NDArray[np.float64]:
        none = np.zeros((self.n_control, self.n_nodes))
        return self._cell.sample(np.random.default_rng([self.seed, 1]), none, none > 0)

    @cached_property
    def _scaling(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self._control.mean(axis=0), self._control.std(axis=0)

    def _standardize(self, nodes: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, sd = self._scaling
        return (nodes - mean) / sd

    def _sample(
        self,
        conditions: pd.DataFrame,
        n_cells: NDArray[np.int64],
        rng: np.random.Generator,
    ) -> NDArray[np.float64]:
        check_condition_columns(conditions.columns, ("drug", "dose"))
        check_known_drugs(conditions["drug"].astype(str), [*self._drugs.names, CONTROL])
        drugs = self._drugs
        row = pd.Index([*drugs.names, CONTROL]).get_indexer(conditions["drug"].astype(str))
        power = conditions["dose"].to_numpy(dtype=float) ** np.append(drugs.hill, 1.0)[row]
        half = np.append(drugs.ec50**drugs.hill, 1.0)[row]
        shifts = np.vstack([drugs.shifts, np.zeros(self.n_nodes)])[row]
        shift = shifts * (power / (half + power))[:, None]
        is_cut = (shifts != 0) & np.append(drugs.is_hard, False)[row, None]
        moves = self.intervention != "scale"
        return self._cell.sample(
            rng,
            np.repeat(moves * shift, n_cells, axis=0),
            np.repeat(is_cut, n_cells, axis=0),
            noise_scale=1.0 if moves else 1.0 + np.repeat(np.abs(shift), n_cells, axis=0),
        )

    def _annotate(
        self, conditions: pd.DataFrame, n_cells: NDArray[np.int64], nodes: NDArray[np.float64]
    ) -> ad.AnnData:
        drugs = conditions["drug"].astype(str).to_numpy()
        obs = pd.DataFrame(
            {
                "drug": pd.Categorical(np.repeat(drugs, n_cells)),
                "dose": np.repeat(conditions["dose"].to_numpy(dtype=float), n_cells),
            },
            index=pd.Index([f"cell_{cell}" for cell in range(len(nodes))]),
        )
        expression = self._standardize(nodes).astype(np.float32)
        return ad.AnnData(expression, obs=obs, var=pd.DataFrame(index=pd.Index(self.gene_names)))


def _cross(drugs: list[str], doses: tuple[float, ...]) -> pd.DataFrame:
    return pd.DataFrame({"drug": np.repeat(drugs, len(doses)), "dose": np.tile(doses, len(drugs))})


def _draw_drugs(rng: np.random.Generator, world: GenesWorld) -> _Drugs:
    n_drugs, n_nodes = world.n_drugs + world.n_unseen, world.n_nodes
    rank = rng.random((n_drugs, n_nodes)).argsort(axis=1).argsort(axis=1)
    targets = rank < rng.integers(1, MAX_TARGETS + 1, (n_drugs, 1))
    emax = rng.uniform(1.5, 4.0, n_drugs)
    ec50 = rng.uniform(0.5, 1.5, n_drugs)
    hill = rng.uniform(1.0, 4.0, n_drugs)
    shape = (1, n_nodes) if world.sign == "node" else (n_drugs, 1)
    sign = rng.choice([-1.0, 1.0], shape)
    properties = np.column_stack([targets, emax, ec50, hill])
    features = _mix(rng, properties, world.n_drugs, saturating=world.features == "tanh")
    none = np.zeros(n_drugs)
    hard = {"hard": none + 1.0, "mixed": np.arange(n_drugs) % 2}
    return _Drugs(
        names=[f"drug_{drug:02d}" for drug in range(n_drugs)],
        shifts=targets * sign * emax[:, None],
        ec50=ec50,
        hill=hill,
        is_hard=hard.get(world.intervention, none).astype(bool),
        features=features,
    )


def _mix(
    rng: np.random.Generator, properties: NDArray[np.float64], n_train: int, *, saturating: bool
) -> NDArray[np.float64]:
    """Mix properties of drugs into features, both standardised by the training drugs."""

    def standardize(values: NDArray[np.float64]) -> NDArray[np.float64]:
        mean, sd = values[:n_train].mean(axis=0), values[:n_train].std(axis=0)
        return (values - mean) / np.where(sd > 0, sd, 1.0)

    n_properties = properties.shape[1]
    mixture = rng.standard_normal((n_properties, n_properties - 3 + N_EXTRA_FEATURES))
    mixed = standardize(properties) @ mixture / np.sqrt(n_properties)
    return standardize(np.tanh(mixed) if saturating else mixed)
