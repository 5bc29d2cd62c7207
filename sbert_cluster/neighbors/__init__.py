"""Unit vectors → every pair at or above a threshold, or the nearest rows.

Pairs: codes (bound) · choose · scan and native (compare) · decide · tiles · join · forecast ·
histogram. Nearest rows: nearest (bound) · search. Both rest on similarity.
"""
