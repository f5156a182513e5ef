"""A source of outlooks that a test fills."""

from mailroom_collector.report.outlook import ActionOutlook, Outlook
from mailroom_runtime.errors import MailroomError


def outlook(*, late: int = 0, waiting: int = 100_000, rate_per_s: float | None = 14.0) -> Outlook:
    """Return an outlook of an import of activations, with some recoveries."""
    activation = ActionOutlook("activation", waiting - 5, 14, 60.0, late, 0.4, None)
    recovery = ActionOutlook("password_recovery", 5, 0, 2.0, 0, 0.4, None)
    return Outlook([activation, recovery], rate_per_s)


class Answers:
    """Answers each question with the next of `left`: an outlook, an error, or None for no answer yet."""

    def __init__(self, *answers: Outlook | MailroomError | None) -> None:
        self.left = [*answers]
        self.asked = 0
        self.closed = 0
        self.waited = 0.0

    def ask(self) -> None:
        self.asked += 1

    def answer(self, wait: float = 0.0) -> Outlook | None:
        self.waited = wait
        answer = self.left.pop(0)
        if isinstance(answer, MailroomError):
            raise answer
        return answer

    def close(self) -> None:
        self.closed += 1
