"""Texts → unit vectors.

locate · checkpoint · tokens · batching · generic · pooling · device · cache · encoder · estimate.
"""
