"""Runs the program as `python -m mailroom_sender`."""

from mailroom_sender.cli import main

main()
