"""One file a command: flags → pipeline → report. Nothing is computed here."""
