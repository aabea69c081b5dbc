"""Widgets that look into every layer of a fitted model, or of one that is being fitted."""
