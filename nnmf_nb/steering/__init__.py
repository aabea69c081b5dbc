"""Correct a fitted model by hand: edits with previews, and a log that can be replayed."""

from nnmf_nb.steering._steering import Edits, Preview, apply, replay, steer

__all__ = ["Edits", "Preview", "apply", "replay", "steer"]
