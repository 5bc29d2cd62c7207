"""What the screens show, without a screen: everything that is computed, decided or undone."""
