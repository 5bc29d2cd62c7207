"""Texts → unit vectors.

locate · checkpoint · tokens · batching · chunks · weights · packed · generic · pooling ·
dimensions · device · cache · conveyor · encoder · estimate.
"""
