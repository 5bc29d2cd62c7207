"""Pairs → rows to keep: ladder · keep · grouping."""
