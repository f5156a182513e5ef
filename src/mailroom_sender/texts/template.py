"""Pure: one template, as it is compared and as SES takes it."""

from dataclasses import dataclass
from typing import Any, Final

ENDINGS: Final = {"subject": ".subject", "text": ".txt", "html": ".html"}
"""The parts, and how their files end."""
_SES_NAMES: Final = {"subject": "SubjectPart", "text": "TextPart", "html": "HtmlPart"}


@dataclass(frozen=True, slots=True)
class Template:
    """One template; "" for a part that it does not have."""

    name: str
    subject: str
    text: str
    html: str

    def part(self, part: str) -> str:
        """Return one of the three, by its name in ENDINGS."""
        return str(getattr(self, part))

    def to_ses(self) -> dict[str, str]:
        """Return it as CreateTemplate and UpdateTemplate take it."""
        parts = {_SES_NAMES[part]: self.part(part) for part in ENDINGS if self.part(part)}
        return {"TemplateName": self.name, **parts}


def from_ses(answer: dict[str, Any]) -> Template:
    """Return the template of an answer to GetTemplate."""
    found = answer.get("Template", {})
    return Template(str(found.get("TemplateName", "")), *(str(found.get(name) or "") for name in _SES_NAMES.values()))
