"""Jinja for documents: sandboxed, strict, and unable to print a number that is not in the record.

Three walls. The literal text of a template may hold no digit (only headings of clauses listed in the catalogue's
citations do, through ``cite``). Constants with digits may only be arguments of a call or an index; nothing is
calculated, and nothing is joined outside a call. And whatever an
expression yields at run time must be text: a bare number is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined, Undefined, nodes
from jinja2.exceptions import TemplateError
from jinja2.sandbox import SandboxedEnvironment

from validation.errors import RunProblem

_FILTERS = {
    "default",
    "join",
    "trim",
    "escape",
    "e",
    "safe",
    "list",
    "first",
    "last",
    "replace",
    "capitalize",
    "lower",
    "upper",
    "striptags",
}
_TESTS = {"defined", "undefined", "none", "in", "eq", "ne", "mapping", "string", "equalto", "true", "false"}
_TAGS = re.compile(r"<[^>]*>|<[^>]*$|^[^<]*>", re.DOTALL)
_DIGIT = re.compile(r"\d")


def environment(folder: Path) -> SandboxedEnvironment:
    """Return the environment in which documents are built.

    Parameters
    ----------
    folder
        The folder of templates.
    """
    found = _Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_text_only,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters = {name: function for name, function in found.filters.items() if name in _FILTERS}
    found.tests = {name: function for name, function in found.tests.items() if name in _TESTS}
    found.globals.clear()
    return found


def build(template: Callable[[], str], name: str) -> str:
    """Run a template; whatever goes wrong in it stops the build with one message."""
    try:
        return template()
    except TemplateError as problem:
        raise RunProblem(
            f"the document template cannot be filled: {problem.message}",
            code="DOS-002",
            where=f"{name}, line {getattr(problem, 'lineno', '?')}",
            why="A document with a hole in it must not leave the building.",
            action="Correct the template, or the field that it asks for.",
        ) from None


class _Environment(SandboxedEnvironment):
    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for line, text in typed_numbers(tree):
            raise RunProblem(
                f"a template makes a number of its own: {text!r}.",
                code="DOS-003",
                where=f"{name}:{line}",
                why="A number that is typed cannot be traced to a result.",
                action="Print it by its id, or cite a clause with cite().",
            )
        return tree


def typed_numbers(tree: nodes.Template) -> list[tuple[int, str]]:
    """Return every number that is typed into a template rather than taken from the record, with its line."""
    found = []
    for data in tree.find_all(nodes.TemplateData):
        for offset, line in enumerate(_TAGS.sub(lambda tag: "\n" * tag.group().count("\n"), data.data).split("\n")):
            if _DIGIT.search(line):
                found.append((data.lineno + offset, line.strip()))
    computed = (nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod, nodes.Pow)
    for kind in computed:
        found += [(node.lineno, "a calculation") for node in tree.find_all(kind)]
    joined = {id(node) for call in tree.find_all(nodes.Call) for node in call.find_all(nodes.Concat)}
    found += [(node.lineno, "text joined with ~") for node in tree.find_all(nodes.Concat) if id(node) not in joined]
    allowed = {
        id(constant)
        for kind in (nodes.Call, nodes.Getitem, nodes.Compare)
        for call in tree.find_all(kind)
        for constant in call.find_all(nodes.Const)
    }
    for constant in tree.find_all(nodes.Const):
        if id(constant) not in allowed and _DIGIT.search(str(constant.value)):
            found.append((constant.lineno, str(constant.value)))
    return found


def _text_only(value: Any) -> Any:
    if isinstance(value, Undefined):
        return str(value)  # StrictUndefined: raises, naming what is missing
    if isinstance(value, str) or hasattr(value, "__html__"):
        return value
    raise RunProblem(
        f"a template prints {type(value).__name__} {value!r} that has no id.",
        code="DOS-003",
        where="template",
        why="A number that is not in the record cannot be traced.",
        action="Print it by its id.",
    )
