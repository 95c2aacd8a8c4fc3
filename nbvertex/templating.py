"""Text from the templates in templates/: strict, deterministic, and no value goes in unquoted."""

from __future__ import annotations

import functools
import json
import keyword
import math
import re
import shlex
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jinja2


def templates_root() -> Path:
    """The folder of the templates: in an installed package beside its modules, in the repository beside the package."""
    package = Path(str(files("nbvertex")))
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def render(template: str, values: Mapping[str, object], root: Path | None = None) -> str:
    """Fill a template.

    Args:
        template: its path below the root, with ``/``.
        values: what it may name; a name that is missing is an error.
        root: another folder of templates than the project's.

    Returns:
        The text. Every ``{{ value }}`` went through a quoting filter, else the template is refused.

    Raises:
        TypeError: a value went in unquoted, or a filter cannot write a value of that type.
        ValueError: a filter cannot write that value.
        jinja2.TemplateError: there is no such template, it does not parse, or it names what is not in `values`.
    """
    return _environment(root or templates_root()).get_template(template).render(values)


@functools.cache
def _environment(root: Path) -> jinja2.Environment:
    import jinja2
    import markupsafe

    def quoted(value: object) -> object:
        # Filters, macros and super() give Markup; anything else came straight from outside.
        if not isinstance(value, markupsafe.Markup):
            raise TypeError(
                f"a template writes {value!r} without a quoting filter ({', '.join(sorted(FILTERS))})"
            )
        return value

    environment = jinja2.Environment(  # autoescape is what makes jinja2 keep quoted and unquoted text apart
        loader=jinja2.FileSystemLoader(root),
        undefined=jinja2.StrictUndefined,
        autoescape=True,
        finalize=quoted,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for name, quote in FILTERS.items():
        environment.filters[name] = _as_markup(quote)
    return environment


def _as_markup(quote: Callable[..., str]) -> Callable[..., str]:
    import jinja2
    import markupsafe

    def filter_(value: object) -> str:
        if isinstance(value, jinja2.Undefined):
            str(value)  # raises, with the name that is missing
        return markupsafe.Markup(quote(value))  # the quoting is `quote`'s own

    return filter_


def py(value: object) -> str:
    """A Python expression that evaluates to an equal value: None, numbers, text, bytes and containers of them."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if value is None or type(value) in (bool, int, float, complex, bytes):
        return repr(value)
    if type(value) is str:
        return _double_quoted(repr(value))
    if type(value) is list:
        return f"[{', '.join(map(py, value))}]"
    if type(value) is tuple:
        return f"({', '.join(map(py, value))}{',' if len(value) == 1 else ''})"
    if type(value) is dict:
        return "{" + ", ".join(f"{py(k)}: {py(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"no Python literal for a {type(value).__name__}")


def _double_quoted(text: str) -> str:
    """A literal in double quotes where that takes no more escapes, as formatters write it."""
    inside = text[1:-1].replace("\\'", "'")
    if text[0] == "'" and inside.count('"') <= inside.count("'"):
        return '"' + inside.replace('"', '\\"') + '"'
    return text


def yaml(value: object) -> str:
    """A YAML flow value, on one line, that YAML 1.1 and 1.2 readers load as an equal value; keys are text."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return _yaml_float(value)
    if isinstance(value, str):
        return _yaml_text(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(yaml, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_yaml_text(k)}: {yaml(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"no YAML for a {type(value).__name__}")


def _yaml_float(value: float) -> str:
    if math.isnan(value):
        return ".nan"
    if math.isinf(value):
        return ".inf" if value > 0 else "-.inf"
    text = repr(float(value))
    mantissa, e, exponent = text.partition("e")
    if e and "." not in mantissa:  # YAML 1.1 takes 1e+16 for text
        mantissa += ".0"
    return mantissa + e + exponent


def _yaml_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a YAML key is text, not a {type(value).__name__}")
    # JSON's escapes are YAML's, but for the pairs of surrogates that JSON writes beyond U+FFFF.
    return re.sub(
        r"(?<!\\)((?:\\\\)*)\\u(d[89ab][0-9a-f]{2})\\u(d[c-f][0-9a-f]{2})",
        lambda m: f"{m[1]}\\U{0x10000 + ((int(m[2], 16) - 0xD800) << 10) + int(m[3], 16) - 0xDC00:08x}",
        json.dumps(value),
    )


def ident(value: object) -> str:
    """A name as it is, where it is a Python name; ValueError where it is not."""
    if not isinstance(value, str) or not value.isidentifier() or keyword.iskeyword(value):
        raise ValueError(f"{value!r} is not a Python name")
    return value


def comment(value: object) -> str:
    """Text as lines of comment; what is no printable character is escaped, so that nothing ends the comment."""
    lines = str(value).splitlines() or [""]
    return "\n".join(
        ("# " + "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)).rstrip() for line in lines
    )


def sh(value: object) -> str:
    """One word of a shell command; ValueError for a NUL, which no command line can hold."""
    text = str(value)
    if "\0" in text:
        raise ValueError("a shell word cannot hold a NUL character")
    return shlex.quote(text)


FILTERS: dict[str, Callable[..., str]] = {
    "comment": comment,
    "ident": ident,
    "py": py,
    "sh": sh,
    "yaml": yaml,
}
"""How a value may enter a template: ``{{ name|py }}``."""
