"""Pictures of fitted models: one call each, and every topic has the same color in all."""

from nnmf_nb.plot._colors import PALETTE, main_parents, topic_colors, tree_order
from nnmf_nb.plot._compare import Comparison, plot_compare
from nnmf_nb.plot._factors import plot_errors, plot_factor, plot_reconstructions, plot_training
from nnmf_nb.plot._images import plot_curves, plot_images
from nnmf_nb.plot._map import map_positions, plot_map
from nnmf_nb.plot._paths import class_weights, path_shares, plot_classes, plot_paths
from nnmf_nb.plot._river import plot_river
from nnmf_nb.plot._tensors import plot_component_tree, plot_components, plot_slice_residuals
from nnmf_nb.plot._time import plot_by_group, plot_over_time, shares_by_group, shares_over
from nnmf_nb.plot._topics import plot_topics
from nnmf_nb.plot._tree import plot_tree

__all__ = [
    "PALETTE",
    "Comparison",
    "class_weights",
    "main_parents",
    "map_positions",
    "path_shares",
    "plot_by_group",
    "plot_classes",
    "plot_compare",
    "plot_component_tree",
    "plot_components",
    "plot_curves",
    "plot_errors",
    "plot_factor",
    "plot_images",
    "plot_map",
    "plot_over_time",
    "plot_paths",
    "plot_reconstructions",
    "plot_river",
    "plot_slice_residuals",
    "plot_topics",
    "plot_training",
    "plot_tree",
    "shares_by_group",
    "shares_over",
    "topic_colors",
    "tree_order",
]
