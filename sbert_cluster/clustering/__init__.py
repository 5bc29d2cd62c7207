"""Vectors → clusters with names: collapse · graph · projection · modes · tree · choose · naming."""
