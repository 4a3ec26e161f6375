"""Trains on a small screen, alone or in two processes, and saves what a test compares."""

import importlib.util
import json
import os
import sys
from pathlib import Path

import numpy as np
import scvi
import torch

from scgim.data import ConditionSplitter
from scgim.model import GIM

folder, n_processes = Path(sys.argv[1]), int(sys.argv[2])
spec = importlib.util.spec_from_file_location(
    "fixtures", Path(__file__).parents[1] / "fixtures/models.py"
)
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)

seen = []


class RememberingSplitter(ConditionSplitter):
    def train_dataloader(self):
        loader = super().train_dataloader()
        sampler = loader.sampler
        original = type(sampler).__iter__

        class Remembering(type(sampler)):
            def __iter__(self):
                for batch in original(self):
                    seen.append(loader.indices[batch].tolist())
                    yield batch

        sampler.__class__ = Remembering
        return loader


torch.set_num_threads(1)
scvi.settings.seed = 0
adata = fixtures.make_screen(0, n_control=120, n_cells=8)
GIM.setup_anndata(adata, **fixtures.SETUP)
model = GIM(adata, n_nodes=3, n_hidden=16, n_layers=1)
model._data_splitter_cls = RememberingSplitter
options = {"strategy": "ddp", "devices": n_processes} if n_processes > 1 else {"devices": 1}
model.train(
    20, accelerator="cpu", batch_size=64 // n_processes, enable_progress_bar=False, **options
)
rank = int(os.environ.get("LOCAL_RANK", "0"))
model.save(folder / "model", safe=True)  # by every process: one of them writes
nodes = model.predict_shift([("drug_a", 10.0)]).X
report = {
    "cells": seen,
    "held_out": np.asarray(model.validation_indices_).tolist(),
    "elbo": float(model.get_elbo()),
    "shift": nodes.tolist(),
    "history": {k: float(v.iloc[-1, 0]) for k, v in model.history.items()},
}
(folder / f"rank_{rank}.json").write_text(json.dumps(report))
