"""Pure: characters that a domain name may contain only in some places (RFC 5892, appendix A).

Persian needs the zero width non-joiner, the languages of India both joiners, Catalan the middle dot.
"""

import unicodedata
from collections.abc import Callable, Iterable, Mapping
from typing import Final

_VIRAMA: Final = 9  # its canonical combining class: a virama says that a consonant has no vowel


def _letters(ranges: str) -> frozenset[str]:
    """Return the characters of ranges of hexadecimal code points. A range includes its ends."""
    ends = [range_.partition("-") for range_ in ranges.split()]
    return frozenset(chr(code) for first, _, last in ends for code in range(int(first, 16), int(last or first, 16) + 1))


# The joining types (Unicode 18, DerivedJoiningType.txt), which `unicodedata` does not have. A letter joins on both
# sides, only on the left, or only on the right. These scripts run from right to left: the next letter is on the left.
# The ranges also contain code points that no name may contain.
_DUAL_JOINING: Final = _letters(
    "620 626 628 62A-62E 633-647 649-64A 66E-66F 679-687 69A-6BF 6C1-6C2 6CC 6CE 6D0-6D1 6FA-6FC 6FF 712-714 71A-71D "
    "71F-727 729 72B 72D-72E 74E-758 75C-76A 76D-770 772 775-777 77A-77F 7CA-7EA 841-845 848 84A-853 855 860 862-865 "
    "868 886 889-88D 88F 8A0-8A9 8AF-8B0 8B3-8B8 8BA-8C8 1820-1878 1887-18A8 18AA A840-A871 10AC0-10AC4 10AD3-10AD6 "
    "10AD8-10ADC 10ADE-10AE0 10B80 10B82 10B86-10B88 10B8A-10B8B 10B8D 10B90 10D01-10D21 10D23 10EC3-10EC4 "
    "10EC6-10EC7 10F30-10F32 10F34-10F44 10F70-10F73 10F76-10F81 10FB0 10FB2-10FB3 10FB8 10FBB-10FBC 10FBE-10FBF "
    "10FC1 10FC4 1E922-1E943"
)
_LEFT_JOINING: Final = _letters("A872 10ACD 10AD7 10D00 10ED9-10EEE")
_RIGHT_JOINING: Final = _letters(
    "622-625 627 629 62F-632 648 671-673 688-699 6C0 6C3-6CB 6CD 6CF 6D2-6D5 6EE-6EF 710 715-719 71E 728 72A 72C 72F "
    "74D 759-75B 76B-76C 771 773-774 778-779 840 846-847 849 854 856-858 867 869-882 88E 8AA-8AC 8AE 8B1-8B2 8B9 "
    "10AC5 10AC7-10ACA 10ACE-10AD2 10ADD 10AE1 10AE4 10B81 10B83-10B85 10B89 10B8C 10B8E-10B8F 10B91 10D22 10EC2 "
    "10F33 10F74-10F75 10FB4-10FB6 10FB9-10FBA 10FBD 10FC2-10FC3"
)
_JOINING_THE_NEXT: Final = _DUAL_JOINING | _LEFT_JOINING
_JOINING_THE_LAST: Final = _DUAL_JOINING | _RIGHT_JOINING
_TRANSPARENT_LETTER: Final = "\U0001e94b"  # the only one that is not a mark


def _follows_virama(name: str, at: int) -> bool:
    return at > 0 and unicodedata.combining(name[at - 1]) == _VIRAMA


def _parts_joining_letters(name: str, at: int) -> bool:
    """Return whether the letters on both sides would join without this character between them. Marks don't count."""
    before, after = _first_letter(reversed(name[:at])), _first_letter(name[at + 1 :])
    return before in _JOINING_THE_NEXT and after in _JOINING_THE_LAST


def _first_letter(characters: Iterable[str]) -> str:
    marks = ("Mn", "Me")
    letters = (one for one in characters if unicodedata.category(one) not in marks and one != _TRANSPARENT_LETTER)
    return next(letters, "")


def _is_between_l(name: str, at: int) -> bool:
    return name[at - 1 : at] == name[at + 1 : at + 2] == "l"


def _precedes_greek(name: str, at: int) -> bool:
    return _is_named(name[at + 1 : at + 2], "GREEK ")


def _follows_hebrew(name: str, at: int) -> bool:
    return _is_named(name[at - 1 : at], "HEBREW ")


def _is_among_japanese(name: str, at: int) -> bool:  # noqa: ARG001 - it may be anywhere in the label
    letters = (one for one in name if unicodedata.category(one) == "Lo")
    return any(_is_named(one, "HIRAGANA ", "KATAKANA ", "CJK UNIFIED ") for one in letters)


def _is_named(character: str, *scripts: str) -> bool:
    return character != "" and unicodedata.name(character, "").startswith(scripts)


CONTEXTS: Final[Mapping[str, Callable[[str, int], bool]]] = {
    "\u200c": lambda name, at: _follows_virama(name, at) or _parts_joining_letters(name, at),  # A.1, non-joiner
    "\u200d": _follows_virama,  # A.2, zero width joiner
    "\u00b7": _is_between_l,  # A.3, middle dot
    "\u0375": _precedes_greek,  # A.4, Greek lower numeral sign
    "\u05f3": _follows_hebrew,  # A.5, geresh
    "\u05f4": _follows_hebrew,  # A.6, gershayim
    "\u30fb": _is_among_japanese,  # A.7, katakana middle dot
}
"""For each character, a function that returns whether it may be at a place of a label."""
