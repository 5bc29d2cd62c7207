"""Ray Core as an engine: actors that encode, tasks that compare tiles and answer queries.

cluster (start or join one) · tasks (many at a time, tried again) · crew (actors, replaced when they
die) · encoding · tiles · queries · engine.
"""
