"""The place and the summary of each command of an operator. With it, --help needs no import of the commands."""

from typing import Final

from mailroom_runtime.settings.lazy_group import LazyCommand

_HERE: Final = "mailroom_collector.operations.commands"
COMMANDS: Final = {
    "failed": LazyCommand(f"{_HERE}.failed:failed", "List what was not mailed, newest first."),
    "metrics": LazyCommand(f"{_HERE}.metrics:metrics", "Serve the ledger's figures to Prometheus."),
    "migrate": LazyCommand(f"{_HERE}.migrate:migrate", "Bring the schema to the newest version, or to another one."),
    "pause": LazyCommand(f"{_HERE}.pause:pause", "Stop sending the mails of the queue until resume."),
    "prune": LazyCommand(f"{_HERE}.prune:prune", "Remove old settled deliveries from the ledger."),
    "resume": LazyCommand(f"{_HERE}.pause:resume", "Send the mails of a paused queue again."),
    "retry": LazyCommand(f"{_HERE}.retry:retry", "Put back what was not mailed, to be tried again at once."),
    "show": LazyCommand(
        f"{_HERE}.show:show", "Show what became of the mails of a person, of one token, or of one mail."
    ),
    "status": LazyCommand(f"{_HERE}.status:status", "Show what waits, is in progress, was sent, and was not sent."),
    "verify": LazyCommand(f"{_HERE}.verify:verify", "Check the secret field of a link, read from standard input."),
}
"""The key is the name of the command."""
