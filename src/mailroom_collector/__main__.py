"""Runs the program as `python -m mailroom_collector`."""

from mailroom_collector.cli import main

main()
