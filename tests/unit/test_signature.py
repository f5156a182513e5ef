"""Signing and checking. The standard library's hmac checks both."""

import base64
import hashlib
import hmac

import pytest

from mailroom_collector import Action, verify_token
from mailroom_collector.errors import UnfitToken, UnknownAction
from mailroom_collector.sign.signature import Signer

KEY = bytes(range(32))
SIGNER = Signer(KEY)
SECRET = bytes(range(100, 132))
RECOVERY = Action.PASSWORD_RECOVERY


@pytest.mark.parametrize(
    ("action", "code", "signed"),
    [
        (Action.ACTIVATION, "01234", b"/activate" + SECRET),
        (Action.ACTIVATION, None, b"/activate" + SECRET),
        (RECOVERY, "01234", b"/recover" + SECRET + b"01234"),
    ],
)
def test_field_is_secret_and_hmac(action: Action, code: str | None, signed: bytes) -> None:
    """The field is the secret and HMAC-SHA256 over path, secret and, for a recovery, code."""
    expected = SECRET + hmac.new(KEY, signed, hashlib.sha256).digest()
    field = SIGNER.sign(action.number, SECRET, code)
    assert (len(field), base64.urlsafe_b64decode(field + "==")) == (86, expected)
    assert verify_token(field, action=action, key=KEY, code=code) == SECRET


@pytest.mark.parametrize("code", [None, "", "1234", "123456", "1234a", "١٢٣٤٥", "12345\n"])
def test_recovery_without_five_digits_is_refused(code: str | None) -> None:
    """A recovery whose code is not five ASCII digits is not signed."""
    with pytest.raises(UnfitToken, match="its code is not five ASCII digits"):
        SIGNER.sign(RECOVERY.number, SECRET, code)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_secret_of_another_length_is_refused(length: int) -> None:
    """A secret that is not 32 bytes can't be signed."""
    with pytest.raises(UnfitToken, match=f"its secret is {length} bytes, not 32"):
        SIGNER.sign(1, b"s" * length, None)


def test_every_changed_character_is_noticed() -> None:
    """Each character of the field matters."""
    field = SIGNER.sign(1, SECRET, None)
    for place in range(len(field)):
        for other in "AB_":
            changed = field[:place] + other + field[place + 1 :]
            if changed != field:
                assert verify_token(changed, action=Action.ACTIVATION, key=KEY) is None, changed


@pytest.mark.parametrize("spoil", ["{}=", "{}==", " {}", "{}\n", "{}A", "", "é" * 86])
def test_field_of_another_form_is_refused(spoil: str) -> None:
    """It has padding, blanks or another length."""
    field = spoil.format(SIGNER.sign(1, SECRET, None))
    assert verify_token(field, action=Action.ACTIVATION, key=KEY) is None


def test_spare_bits_must_be_zero() -> None:
    """86 characters hold four bits more than 64 bytes. So each token has one spelling only."""
    field = SIGNER.sign(1, SECRET, None)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(field[-1])
    spelt = [field[:-1] + alphabet[last | bits] for bits in range(16)]
    accepted = [one for one in spelt if verify_token(one, action=Action.ACTIVATION, key=KEY)]
    assert accepted == [field]


@pytest.mark.parametrize(
    ("action", "code", "key"),
    [
        (Action.ACTIVATION, "01234", KEY),
        (RECOVERY, "01235", KEY),
        (RECOVERY, None, KEY),
        (RECOVERY, "0123", KEY),
        (RECOVERY, "01234", b"\0" * 32),
    ],
)
def test_other_action_code_or_key_is_refused(action: Action, code: str | None, key: bytes) -> None:
    """A signature is valid for one action, one code and one key."""
    field = SIGNER.sign(RECOVERY.number, SECRET, "01234")
    assert verify_token(field, action=action, key=key, code=code) is None


def test_key_of_another_length_is_an_error() -> None:
    """A wrong key is the application's mistake, not an invalid token."""
    with pytest.raises(ValueError, match="the key is 3 bytes, not 32"):
        verify_token("x", action=Action.ACTIVATION, key=b"abc")


def test_prefixes_that_begin_alike_could_be_taken_for_each_other() -> None:
    """This is why the table of actions forbids them: a link of one action, split elsewhere, is one of the other."""
    one, other = Action("one", 3, "/a", signs_code=True), Action("other", 4, "/abcdef", signs_code=False)
    secret, code = b"bcdef" + SECRET[5:], "01234"
    signature = base64.urlsafe_b64decode(Signer(KEY, [one]).sign(3, secret, code) + "==")[32:]
    forged = base64.urlsafe_b64encode(secret[5:] + code.encode() + signature).decode().rstrip("=")
    assert verify_token(forged, action=other, key=KEY) == secret[5:] + code.encode()


@pytest.mark.parametrize("number", [0, 32768])
@pytest.mark.parametrize("prefix", ["", "/", "invite", "/inv ite", "/é", "/invite\n", "/" + "i" * 63])
def test_invalid_action_is_an_error(number: int, prefix: str) -> None:
    """An action that an application creates is checked like a row of the table."""
    with pytest.raises(ValueError, match="the number of invitation"):
        Action("invitation", number, "/invite", signs_code=False)
    with pytest.raises(ValueError, match="the prefix of invitation"):
        Action("invitation", 3, prefix, signs_code=False)


def test_unknown_action_is_not_signed() -> None:
    """Only the actions that were read last are signed."""
    invitation = Action("invitation", 3, "/invite", signs_code=False)
    signer = Signer(KEY)
    with pytest.raises(UnknownAction):
        signer.sign(3, SECRET, None)
    signer.set_actions([invitation])
    assert verify_token(signer.sign(3, SECRET, None), action=invitation, key=KEY) == SECRET
    with pytest.raises(UnknownAction):
        signer.sign(1, SECRET, None)


@pytest.mark.parametrize("number", [0, -1, 32768])
def test_action_has_a_number_that_the_database_can_hold(number: int) -> None:
    """It is between 1 and the largest smallint."""
    with pytest.raises(ValueError, match="the number of odd is not from 1 to 32767"):
        Action("odd", number, "/odd", signs_code=False)
    assert [Action("odd", fit, "/odd", signs_code=False).number for fit in (1, 32767)] == [1, 32767]


def test_refused_code_is_named() -> None:
    """The reason is the ledger's text."""
    with pytest.raises(UnfitToken) as refusal:
        SIGNER.sign(RECOVERY.number, SECRET, "1234")
    assert str(refusal.value) == "its code is not five ASCII digits"
