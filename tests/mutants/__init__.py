"""What `make mutants` says at its end."""
