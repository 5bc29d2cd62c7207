"""A run, for people: what the terminal shows and the pages that can be sent to a colleague."""
