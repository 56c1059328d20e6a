"""Writes the parts of the reference that follow from the code: the command line and the fields of ``Config``.

MkDocs calls :func:`on_page_markdown` for each page. A line ``<!-- generated: NAME -->`` becomes what the function
of that name returns.
"""

from __future__ import annotations

import dataclasses
import re
import sys
import typing
from pathlib import Path
from typing import Any, get_args, get_origin

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "platform"))


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its generated parts filled in; KeyError where a part has no function."""
    return re.sub(r"^<!-- generated: (\w+) -->$", lambda found: GENERATORS[found[1]](), markdown, flags=re.MULTILINE)


def command_line() -> str:
    """Every command with its arguments and options, as ``--help`` shows them."""
    import typer
    from typer.cli import get_docs_for_click

    from branchpoint.commands.cli import app

    command = typer.main.get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="branchpoint")
    return text.split("\n", 1)[1]  # the page has a title of its own


def config_fields() -> str:
    """A section for each part of ``Config`` with a row for each field: type, default, allowed values, meaning."""
    from branchpoint import config

    families = {part: _family(part) for part in _parts(config.Config)}
    return "\n\n".join(_section(cls) for family in families.values() for cls in family)


def _parts(cls: type) -> list[type]:
    """``cls`` and every dataclass that its fields hold, each once, in the order of the fields."""
    found = [cls]
    for hint in typing.get_type_hints(cls).values():
        for part in _classes_in(hint):
            found += [inner for inner in _parts(part) if inner not in found]
    return found


def _classes_in(hint: Any) -> list[type]:
    if isinstance(hint, type) and dataclasses.is_dataclass(hint) and hint.__module__.startswith("branchpoint.config"):
        return [hint]
    return [cls for argument in get_args(hint) for cls in _classes_in(argument)]


def _family(part: Any) -> list[type]:
    """``part``, and the classes of Config that extend it, such as one for each kind of task."""
    family: list[type] = [part]
    for child in part.__subclasses__():
        family += [cls for cls in _family(child) if cls.__module__.startswith("branchpoint.config")]
    return family


def _section(cls: type) -> str:
    from griffe import Docstring, DocstringSectionAttributes, DocstringSectionText

    sections = Docstring(cls.__doc__ or "", lineno=1).parse("google", warnings=False)
    text = next((part.value for part in sections if isinstance(part, DocstringSectionText)), "")
    meanings = {
        attribute.name: attribute.description
        for part in sections
        if isinstance(part, DocstringSectionAttributes)
        for attribute in part.value
    }
    hints = typing.get_type_hints(cls, include_extras=True)
    inherited = {field.name for base in cls.__mro__[1:] if dataclasses.is_dataclass(base) for field in _fields(base)}
    fields = [field for field in _fields(cls) if field.name not in inherited or field.name in vars(cls)]
    rows = [
        (f"`{field.name}`", *_type_and_rule(hints[field.name]), _default(field), meanings.get(field.name, ""))
        for field in fields
    ]
    head = f"## {cls.__name__}\n\n{_markdown(text)}\n"
    if not rows:
        return head
    cells = "\n".join("| " + " | ".join(_markdown(cell).replace("|", r"\|") for cell in row) + " |" for row in rows)
    return f"{head}\n| field | type | allowed | default | meaning |\n|---|---|---|---|---|\n{cells}"


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def _type_and_rule(hint: Any) -> tuple[str, str]:
    rules = []
    if get_origin(hint) is typing.Annotated:
        hint, *metadata = get_args(hint)
        rules = [str(rule).removeprefix("must be ").removeprefix("must ") for rule in metadata]
    if get_origin(hint) is typing.Literal:
        return "choice", ", ".join(f"`{choice!r}`" for choice in get_args(hint))
    return f"`{_name(hint)}`", "; ".join(rules)


def _name(hint: Any) -> str:
    if get_origin(hint) is typing.Annotated:
        return _name(get_args(hint)[0])
    if hint is type(None):
        return "None"
    if isinstance(hint, type) and not get_args(hint):
        return hint.__name__
    return re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(hint))


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is not dataclasses.MISSING:
        made = field.default_factory()
        return f"`{type(made).__name__}()`" if dataclasses.is_dataclass(made) else f"`{made!r}`"
    return "required"


def _markdown(text: str) -> str:
    """Docstring markup as Markdown, on one line for each paragraph."""
    text = re.sub(r":(?:class|func|meth|mod|data|attr):`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


GENERATORS = {"command_line": command_line, "config_fields": config_fields}
