"""Model files without pickle, and checkpoints of a running fit."""
