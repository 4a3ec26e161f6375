"""Features of perturbations and units of doses."""
