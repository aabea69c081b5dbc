"""The app: topics of a file, without code."""
