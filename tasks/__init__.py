"""Tasks: each gives a function of the library its inputs and stores what it returns."""
