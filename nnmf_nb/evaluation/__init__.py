"""Metrics of factorizations and certificates of fitted models."""
