"""Parts of screens that know how to draw, and nothing else."""
