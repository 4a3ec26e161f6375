"""AnnData fields, the perturbation table and the split over conditions."""
