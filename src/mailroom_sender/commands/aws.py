"""The client that asks AWS, for the commands that need it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailroom_sender.aws.questions import AwsQuestions


def aws_questions() -> "AwsQuestions":
    """Return what asks AWS. Raises OperatorNeeded when the AWS SDK can't be set up, or finds no credentials."""
    # Here, because the AWS SDK takes a fifth of a second, for which --help and a completion need not wait.
    from mailroom_sender.aws.questions import AwsQuestions  # noqa: PLC0415

    return AwsQuestions()
