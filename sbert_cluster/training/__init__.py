"""Labels → a better encoder: examples · split · negatives · objectives · trainer · saving."""
