"""A data module like those of scvi-tools, on cells in memory."""

import numpy as np
import scipy.sparse as sp
import torch
from lightning.pytorch import LightningDataModule


class StreamingModule(LightningDataModule):
    """Streams labels, batches and covariates as scvi.dataloaders.AnnbatchDataModule does."""

    def __init__(self, adata, label_key="drug", batch_key=None, categorical=(), continuous=()):
        super().__init__()
        self.adata, self.label_key, self.batch_key = adata, label_key, batch_key
        self.categorical, self.continuous = list(categorical), list(continuous)
        self.n_obs, self.n_vars = adata.shape
        self.batch_size = 64
        self.split = None

    def categories(self, key):
        return np.unique(self.adata.obs[key].astype(str))

    @property
    def registry(self):
        labels = self.categories(self.label_key).tolist() if self.label_key else []
        batches = self.categories(self.batch_key) if self.batch_key else ["batch_0"]
        return {
            "setup_args": {"batch_key": self.batch_key},
            "field_registries": {
                "X": {
                    "state_registry": {
                        "n_vars": self.n_vars,
                        "column_names": list(self.adata.var_names),
                    }
                },
                "batch": {
                    "state_registry": {
                        "categorical_mapping": batches,
                        "original_key": self.batch_key or "batch",
                    }
                },
                "labels": {
                    "state_registry": {
                        "categorical_mapping": np.array([*labels, "Unknown"], dtype=object),
                        "original_key": self.label_key or "labels",
                    }
                },
                "extra_categorical_covs": {
                    "state_registry": {
                        "mapping": {key: self.categories(key) for key in self.categorical}
                    }
                },
                "extra_continuous_covs": {"state_registry": {"columns": self.continuous}},
            },
        }

    def codes(self, key, rows):
        values = self.adata.obs[key].astype(str).to_numpy()[rows]
        return torch.from_numpy(np.searchsorted(self.categories(key), values))[:, None]

    def set_split(self, train_size=None, **_):
        self.split = train_size

    def _loader(self, rows):
        return torch.utils.data.DataLoader(rows, batch_size=self.batch_size, collate_fn=np.array)

    def train_dataloader(self):
        rows = np.arange(self.n_obs)
        return self._loader(rows[rows % 8 > 0])

    def val_dataloader(self):
        return self._loader(np.arange(0, self.n_obs, 8))

    def on_before_batch_transfer(self, rows, dataloader_idx):
        x = torch.from_numpy(sp.csr_matrix(self.adata.X)[rows].toarray())
        zero = torch.zeros(len(rows), 1, dtype=torch.long)
        batch = {
            "X": x,
            "labels": self.codes(self.label_key, rows),
            "batch": self.codes(self.batch_key, rows) if self.batch_key else zero,
            "sample": zero,
            "size_factor": x.sum(1, keepdim=True) / x.sum(1).mean(),
        }
        if self.categorical:
            codes = [self.codes(key, rows) for key in self.categorical]
            batch["extra_categorical_covs"] = torch.cat(codes, 1)
        if self.continuous:
            values = self.adata.obs[self.continuous].to_numpy(np.float32)[rows]
            batch["extra_continuous_covs"] = torch.from_numpy(values)
        return batch

    def inference_dataloader(self):
        for rows in self._loader(np.arange(self.n_obs)):
            yield self.on_before_batch_transfer(rows, None)
