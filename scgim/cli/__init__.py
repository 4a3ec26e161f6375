"""The command line: scgim demo, fit, predict and benchmark."""
