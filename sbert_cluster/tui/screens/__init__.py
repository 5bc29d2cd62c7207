"""What fills the terminal: each shows a view model and passes keys on to it."""
