"""What the search for the nearest rows looks at first: rows in bytes, bounded one query at a time.

A join compares millions of rows with millions and is bound by arithmetic; a search reads all rows
for one query and is bound by memory, and what it looks for is not known in advance. So it has codes
of its own: longer, and with an error for each row rather than for all.
"""
