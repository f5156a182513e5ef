"""Turns on the DEBUG log of all libraries, as somebody may who looks for a bug. Python imports this from PYTHONPATH."""

import logging

logging.basicConfig(level=logging.DEBUG)
