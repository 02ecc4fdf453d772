"""HTML documents that need nothing else: assets, templates and the policy that lets nothing in or out."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["asset", "policy", "render", "soft", "trusted"]

_LONG_WORD = re.compile(r"\S{21,}")
_BREAKABLE = re.compile(r"([:/_]+)(?=\w)")


@cache
def asset(name: str) -> str:
    """Return the text of a file of the package."""
    return (files("twin.report") / "assets" / name).read_text(encoding="utf-8").strip()


def _csp_hash(content: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode("ascii") + "'"


def policy(css: str, js: str = "") -> str:
    """Return a content security policy that lets nothing in or out but what is on the page."""
    script = f"script-src {_csp_hash(js)}; " if js else ""
    return (
        f"default-src 'none'; style-src {_csp_hash(css)}; {script}img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def trusted(markup: str) -> "Markup":
    """Return markup made by this package, in which all text from outside is escaped."""
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    return Markup(markup)  # noqa: S704 - made here, see above


def soft(text: str) -> "Markup":
    """Return text whose long names may break after ``: / _``, so that they do not break anywhere."""
    from markupsafe import Markup, escape  # noqa: PLC0415 - comes with jinja2

    marked = _LONG_WORD.sub(lambda word: _BREAKABLE.sub(r"\1<wbr>", word[0]), str(escape(text)))
    return Markup(marked)  # noqa: S704 - escaped before


def render(template: str, **values: object) -> str:
    """Return a template of the package filled with values; text is escaped unless it is :func:`trusted`."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415 - 0.1 s that only a report needs

    environment = Environment(
        loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["soft"] = soft
    environment.filters["svg"] = trusted
    return environment.get_template(template).render(**values) + "\n"
