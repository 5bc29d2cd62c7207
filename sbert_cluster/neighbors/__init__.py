"""Unit vectors → every pair at or above a threshold, or the nearest rows.

prefix (bound) · join (tiles) · forecast · similarity; codes (bound) · products · scan · search.
"""
