"""Pure: the tokens of one claim to signed rows, and those that can't be signed."""

from collections.abc import Iterable
from typing import NamedTuple

from mailroom_collector.errors import UnfitToken, UnknownAction
from mailroom_collector.sign.line import SignedRow, encode_row
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token


class SignedChunk(NamedTuple):
    """What became of the tokens."""

    rows: list[SignedRow]
    unfit: dict[int, str]  # token to the reason why it can't be signed or printed
    unknown: list[Token]  # of an action that the signer does not know


def sign_chunk(signer: Signer, tokens: Iterable[Token]) -> SignedChunk:
    """Sign each token and write its row."""
    rows: list[SignedRow] = []
    unfit: dict[int, str] = {}
    unknown: list[Token] = []
    for token in tokens:
        try:
            rows.append(encode_row(signer, token))
        except UnfitToken as reason:
            unfit[token.id] = str(reason)
        except UnknownAction:
            unknown.append(token)
    return SignedChunk(rows, unfit, unknown)
