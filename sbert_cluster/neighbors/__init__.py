"""Unit vectors → every pair at or above a threshold: join · similarity."""
