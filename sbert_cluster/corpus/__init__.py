"""Files → corpus → files: reading, columns, vectors, texts, writing."""
