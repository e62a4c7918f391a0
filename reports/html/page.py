"""Templates and the security policy, for all pages."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from functools import cache
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from reports.wording import values

_PERCENT, _ONE_IN = re.compile(r"(?<=\d) %"), re.compile(r"\b1 in (?=\d)")


def policy(scripts: list[str]) -> str:
    """The Content-Security-Policy of a page: only these scripts may run (by hash), and nothing may be fetched.

    Inline styles are allowed, because bars have their widths as attributes.
    """
    hashes = (
        " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts
        )
        or "'none'"
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )


@cache
def environment() -> Any:
    """The Jinja environment: templates and their common filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("reports.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=unbroken,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "coded": _coded,
        "visible": lambda text: values.visible(str(text)),
        "short": values.shortened,
        "cut": values.cut,
        "number": values.number,
        "value": values.value_words,
        "duration": values.duration,
        "amount": values.amount,
        "percent": lambda share, places=0: f"{100 * share:.{places}f}\u202f%" if math.isfinite(share) else values.NONE,
    }
    return environment


def unbroken(value: Any) -> Any:
    """Text in which a percent sign stays on the line of its number, and '1 in 300' on one; anything else as it is."""
    if not isinstance(value, str) or (" %" not in value and "1 in " not in value):
        return value
    return type(value)(_ONE_IN.sub("1\u00a0in\u00a0", _PERCENT.sub("\u00a0%", value)))


def _coded(sentence: str) -> Markup:
    """A sentence in which what is between backticks is code."""
    pieces = values.visible(sentence).split("`")
    if len(pieces) % 2 == 0:  # a backtick without its partner
        return escape("`".join(pieces))
    return Markup("").join(
        Markup("<code>{}</code>").format(piece) if n % 2 else escape(piece) for n, piece in enumerate(pieces)
    )


@cache
def asset(name: str) -> str:
    """The text of a file in the folder of the templates."""
    return resources.files("reports.html").joinpath("templates", name).read_text(encoding="utf-8")
