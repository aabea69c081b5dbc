"""How many topics, on how many levels, and which of them come back."""
