"""What an operator does: sees how the queue is and who was not mailed, sends again, clears away.

commands   the commands and their options
queries    questions to the ledger, and changes of it
figures    pure: what the ledger told, and what it comes to
text       pure: figures as text for people and as JSON for programs
terminal   the live screen, colours and the progress bar
metrics    the exporter for Prometheus
"""
