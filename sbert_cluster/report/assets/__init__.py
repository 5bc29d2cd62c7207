"""Template, style sheet and script of the pages; read as package data."""
