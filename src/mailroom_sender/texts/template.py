"""Pure: one template, and its form in the SES API."""

from dataclasses import dataclass
from typing import Any, Final

ENDINGS: Final = {"subject": ".subject", "text": ".txt", "html": ".html"}
"""The parts, and the endings of their files."""
_SES_NAMES: Final = {"subject": "SubjectPart", "text": "TextPart", "html": "HtmlPart"}


@dataclass(frozen=True, slots=True)
class Template:
    """One template. A part that it does not have is ""."""

    name: str
    subject: str
    text: str
    html: str

    def part(self, part: str) -> str:
        """Return one of the three parts, by its name in ENDINGS."""
        return str(getattr(self, part))

    def to_ses(self) -> dict[str, str]:
        """Return the parameter Template of CreateTemplate and UpdateTemplate."""
        parts = {_SES_NAMES[part]: self.part(part) for part in ENDINGS if self.part(part)}
        return {"TemplateName": self.name, **parts}


def from_ses(answer: dict[str, Any]) -> Template:
    """Return the template from an answer to GetTemplate."""
    found = answer.get("Template", {})
    return Template(str(found.get("TemplateName", "")), *(str(found.get(name) or "") for name in _SES_NAMES.values()))
