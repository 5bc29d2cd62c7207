"""The terminal UI: view models that know no screen, and screens that compute nothing."""
