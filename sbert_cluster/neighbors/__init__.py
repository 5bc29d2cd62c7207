"""Unit vectors → every pair at or above a threshold: prefix (bound) · join (tiles) · similarity."""
