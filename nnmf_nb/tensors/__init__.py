"""Nonnegative tensors: data of two or more modes, CP decompositions and their hierarchies."""

from nnmf_nb.tensors._data import mttkrp
from nnmf_nb.tensors._judgment import core_consistency, match_cp, rank_scan

__all__ = ["core_consistency", "match_cp", "mttkrp", "rank_scan"]
