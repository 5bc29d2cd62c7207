"""Texts → unit vectors.

locate · checkpoint · tokens · batching · weights · packed · generic · pooling · device · cache ·
encoder · estimate.
"""
