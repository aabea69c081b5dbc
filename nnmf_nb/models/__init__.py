"""The estimators; their public place is `nnmf_nb` itself."""
