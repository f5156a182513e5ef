"""The tokens of one claim: signed, unfit, or with an unknown action."""

from mailroom_collector.sign.chunk import sign_chunk
from mailroom_collector.sign.line import encode_row
from mailroom_collector.sign.signature import Signer
from mailroom_collector.sign.token import Token

SIGNER = Signer(bytes(32))


def token(number: int, *, action: int = 1, secret: bytes = bytes(32), login: str = "ann") -> Token:
    return Token(number, action, f"{login}@example.com", login, secret, None)


def test_each_token_of_a_chunk_has_one_result() -> None:
    """Rows keep their order. An unfit token has a reason. A token of an unknown action can be tried again."""
    good, short, unknown, odd, last = (
        token(1),
        token(2, secret=b"x"),
        token(3, action=9),
        token(4, login="a\nb"),
        token(5),
    )
    chunk = sign_chunk(SIGNER, [good, short, unknown, odd, last])
    assert chunk.rows == [encode_row(SIGNER, good), encode_row(SIGNER, last)]
    assert chunk.unfit == {2: "its secret is 1 byte, not 32", 4: "its email holds a control character"}
    assert chunk.unknown == [unknown]
    assert sign_chunk(SIGNER, []) == ([], {}, [])
