"""What an operator does: sees how the queue is and what was not mailed, retries it, removes what is old.

commands   the commands and their options
queries    questions to the ledger, and changes of it
figures    pure: what the ledger answered, and what follows from it
text       pure: figures as text for people and as JSON for programs
terminal   the live screen, colours and the progress bar
metrics    the exporter for Prometheus
"""
