"""The report at the end of `make mutants`."""
