"""Sets up the AWS SDK: makes its session and clients, and has the error codes of bad credentials."""

import os
import re
import urllib.parse
from typing import Any, Final

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.session import get_session

from mailroom_runtime.errors import OperatorNeeded
from mailroom_sender.aws.http_connection import limit_connections

FALLBACK_REGION: Final = "us-east-1"
_AWS_HOST: Final = re.compile(r"\.(?:amazonaws\.com(?:\.cn)?|api\.aws|aws)$")
_SDK_CONFIG: Final = Config(
    connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 2}
)  # seconds
"""For the SDK's own calls, which fetch credentials. With its defaults it may wait for a minute, five times."""

BAD_CREDENTIALS: Final = frozenset({
    "ExpiredToken", "ExpiredTokenException", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId",
    "MissingAuthenticationToken", "OptInRequired", "RequestExpired", "SignatureDoesNotMatch",
    "UnrecognizedClientException",
})  # fmt: skip
"""The codes of refused credentials (Common Errors of the SES API v1 and of STS)."""
DENIED: Final = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"})
"""The codes of a call that these credentials may not make."""
NO_CREDENTIALS: Final[tuple[type[Exception], ...]] = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.TokenRetrievalError,
    exceptions.SSOError,
    getattr(exceptions, "LoginError", exceptions.SSOError),  # of botocore 1.41 and newer
)
"""The errors that the SDK raises when it gets no credentials."""


def is_of_aws(url: str) -> bool:
    """Return whether an endpoint is AWS's own."""
    return bool(_AWS_HOST.search(urllib.parse.urlsplit(url).hostname or ""))


def region_of(session: boto3.Session) -> str:
    """Return the region for calls: AWS_REGION, which boto3 ignores, else the SDK's, else FALLBACK_REGION."""
    return os.environ.get("AWS_REGION") or session.region_name or FALLBACK_REGION


def new_session(hint: str = "") -> boto3.Session:
    """Read the SDK's settings and files. Raises OperatorNeeded, with the hint, when there are no credentials.

    A session reads its files once. Making one is not safe in several threads at once.
    """
    try:
        core = get_session()
        core.set_default_client_config(_SDK_CONFIG)
        session = boto3.Session(botocore_session=core)
        if session.get_credentials() is None:
            raise OperatorNeeded(
                "no AWS credentials are found",
                f"give AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile or a role{hint}",
            )
    except (exceptions.BotoCoreError, OSError, ValueError) as error:
        raise _not_set_up(error) from None
    return session


def new_client(session: boto3.Session, service: str, config: Config) -> Any:
    """Make a client whose connections keep to the limits of http_call(). Raises OperatorNeeded."""
    try:
        client: Any = session.client(service, region_name=region_of(session), config=config)  # type: ignore[call-overload]
    except (exceptions.BotoCoreError, OSError, ValueError) as error:
        raise _not_set_up(error) from None
    limit_connections(client)
    return client


def _not_set_up(error: Exception) -> OperatorNeeded:
    return OperatorNeeded(f"the AWS SDK can't be set up: {error}", "correct the settings that it names")
