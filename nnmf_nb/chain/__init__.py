"""Chains of layers: forward pass, costs and their gradients, what a fitted layer is, labels."""

from nnmf_nb.chain._costs import (
    ChainObjective,
    Cost,
    Forward,
    backpropagate,
    check_gradient,
    depth_errors,
    energy,
    every,
    last,
    on_free_lengths,
    on_unit_columns,
    propagate,
)

__all__ = [
    "ChainObjective",
    "Cost",
    "Forward",
    "backpropagate",
    "check_gradient",
    "depth_errors",
    "energy",
    "every",
    "last",
    "on_free_lengths",
    "on_unit_columns",
    "propagate",
]
