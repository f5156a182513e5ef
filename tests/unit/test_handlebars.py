"""The part of SES's template language that is rendered locally."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.texts.handlebars import Unrenderable, names, render

DATA = {"login": "ann", "secret": "s3", "_x1": "y"}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{login}}", "ann"),
        ("a {{ login }}b{{secret}}", "a annbs3"),
        ("{{{login}}}", "ann"),
        ("{{login}}}", "ann}"),
        ("{ {login} } }} {", "{ {login} } }} {"),
        ("@media(x){.a{color:red}}", "@media(x){.a{color:red}}"),
        ("{{_x1}}\n", "y\n"),
    ],
)
def test_names_are_replaced_and_nothing_else(template: str, expected: str) -> None:
    """{{name}} and {{{name}}} give the value unchanged. Other braces are text."""
    assert render(template, DATA) == expected


@pytest.mark.parametrize(
    "tag",
    ["{{#if login}}", "{{/if}}", "{{else}}", "{{> part}}", "{{! note }}", "{{a.b}}", "{{this}}", "{{&login}}",
     "{{login upper}}", "{{}}", r"\{{login}}", "{{login", "{{~login}}", "{{login\n.x}}", "{{{{raw}}}}"],
)  # fmt: skip
def test_unsupported_syntax_is_named_with_its_line(tag: str) -> None:
    """The meaning of other Handlebars syntax is not guessed."""
    with pytest.raises(Unrenderable, match=r"^line 2: .* is not known here") as error:
        render(f"one\n{tag} three", DATA)
    assert tag[:2] in str(error.value)


def test_missing_value_is_named() -> None:
    """SES would drop the mail, so this is an error."""
    with pytest.raises(Unrenderable, match=r"^line 1: the sender sends no code$"):
        render("{{code}}", DATA)
    assert names("{{code}} {{#if x}}{{ login }}{{/if}}") == {"code", "login"}


@given(st.lists(st.sampled_from(["{", "}", "{{login}}", "<b>", "é", "\n", " "])).map("".join))
def test_values_are_inserted_unchanged(template: str) -> None:
    """A value that looks like a tag is not a tag."""
    try:
        done = render(template, {"login": "{{login}}"})
    except Unrenderable:
        return
    assert done.replace("{{login}}", "").count("\n") == template.count("\n")
    assert done.count("<b>") == template.count("<b>")


def test_tag_is_shown_on_one_line_and_cut() -> None:
    """It has sixty characters at most. Lines count from one."""
    with pytest.raises(Unrenderable) as raised:
        render("\n{{#if\n  x}}", DATA)
    assert str(raised.value) == "line 2: {{#if x}} is not known here; only SES can render it"
    with pytest.raises(Unrenderable, match=r"^line 1: \{\{#x{57} is not known here"):
        render("{{#" + "x" * 80 + "}}", DATA)
