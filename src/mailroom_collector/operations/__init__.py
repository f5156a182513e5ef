"""The commands of an operator: status, show, failed, retry, pause, resume, prune, metrics, migrate, verify.

commands   the commands and their options
queries    reads the ledger, and changes it
figures    pure: what the queries return
text       pure: figures as text for people and as JSON for programs
terminal   the live screen, colours and the progress bar
metrics    the exporter for Prometheus
"""
