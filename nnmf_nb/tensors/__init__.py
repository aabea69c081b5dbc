"""Nonnegative tensors: data of two or more modes, CP decompositions and their hierarchies."""

from nnmf_nb.tensors._cp import CPCertificate
from nnmf_nb.tensors._data import mttkrp

__all__ = ["CPCertificate", "mttkrp"]
