"""How many topics, on how many levels, and which of them come back."""

from nnmf_nb.selection._consensus import consensus
from nnmf_nb.selection._profiles import Profile, ProfileSearch
from nnmf_nb.selection._rank_search import RankSearch

__all__ = ["Profile", "ProfileSearch", "RankSearch", "consensus"]
