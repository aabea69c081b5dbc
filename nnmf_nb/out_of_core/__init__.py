"""Data that outgrow memory: read from disk in blocks, once per iteration."""
