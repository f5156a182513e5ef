"""The client that asks AWS, for the commands that need it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailroom_sender.aws.questions import AwsQuestions


def aws_questions() -> "AwsQuestions":
    """Return a client. Raises OperatorNeeded when the AWS SDK can't be set up, or finds no credentials."""
    # The import is here because it takes a fifth of a second. --help and completions should not wait for it.
    from mailroom_sender.aws.questions import AwsQuestions  # noqa: PLC0415

    return AwsQuestions()
