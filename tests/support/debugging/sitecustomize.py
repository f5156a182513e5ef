"""Turns on everybody's DEBUG log, as somebody may who looks for a fault. Python imports this from PYTHONPATH."""

import logging

logging.basicConfig(level=logging.DEBUG)
