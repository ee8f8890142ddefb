"""Reading YAML into the schema, with the place of every complaint.

YAML is untrusted: aliases and anchors are refused (an alias can expand to gigabytes), duplicate keys are errors,
and only plain scalars, lists and mappings are built.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from validation.errors import ProtocolProblem
from validation.protocol.schema import Protocol

M = TypeVar("M", bound=BaseModel)
Place = tuple[int, int]
Path_ = tuple[Hashable, ...]

MAXIMUM_BYTES = 4_000_000
MAXIMUM_DEPTH = 40


class _Places:
    """Builds plain Python data from YAML nodes and remembers where each key and item stands."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.where: dict[Path_, Place] = {}
        self._loader = yaml.SafeLoader("")

    def complain(self, what: str, mark: Any, *, code: str, action: str = "") -> ProtocolProblem:
        return ProtocolProblem(
            what,
            code=code,
            where=f"{self.source.name}:{mark.line + 1}:{mark.column + 1}",
            why="The file cannot be read without guessing.",
            action=action,
        )

    def build(self, node: yaml.Node, path: Path_ = ()) -> Any:
        if len(path) > MAXIMUM_DEPTH:
            raise self.complain("the file is nested too deeply.", node.start_mark, code="PROT-002")
        self.where.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            mapping: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = self._scalar(key_node)
                if key in mapping:
                    raise self.complain(
                        f"key {key!r} appears twice.", key_node.start_mark, code="PROT-003", action="Keep one of them."
                    )
                self.where[(*path, key)] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                mapping[key] = self.build(value_node, (*path, key))
            return mapping
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*path, index)) for index, item in enumerate(node.value)]
        return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _PLAIN_TAGS:
            raise self.complain(
                f"only plain text, numbers, lists and mappings are allowed here, not {node.tag}.",
                node.start_mark,
                code="PROT-002",
            )
        if node.tag == "tag:yaml.org,2002:timestamp":
            return node.value  # dates stay text: a protocol holds no objects
        return self._loader.construct_object(node)


_PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")}


def read_yaml(path: Path) -> tuple[dict[str, Any], dict[Path_, Place]]:
    """Read a YAML mapping and the line and column (from 1) of every key and item.

    Raises
    ------
    ProtocolProblem
        If the file is missing, too large, not UTF-8, not YAML, uses anchors, aliases or tags, repeats a key,
        or is not a mapping.
    """
    try:
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            raise ProtocolProblem(
                f"the file has {size} bytes; at most {MAXIMUM_BYTES} are read.", code="PROT-002", where=path.name
            )
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ProtocolProblem(
            "there is no such file.", code="PROT-001", where=str(path), action="Check the path."
        ) from None
    except IsADirectoryError:
        raise ProtocolProblem("this is a folder, not a YAML file.", code="PROT-001", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise ProtocolProblem(
            f"the file is not UTF-8 text (byte {error.start}).", code="PROT-002", where=path.name
        ) from None
    places = _Places(path)
    try:
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AnchorToken | yaml.AliasToken):
                raise places.complain(
                    "YAML anchors and aliases are not accepted.",
                    token.start_mark,
                    code="PROT-002",
                    action="Write the value out where it is used.",
                )
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path.name}:{mark.line + 1}:{mark.column + 1}" if mark else path.name
        raise ProtocolProblem(
            f"this is not valid YAML: {error.problem or error.context}.",
            code="PROT-002",
            where=place,
            action="Check indentation and quotes around that place.",
        ) from None
    except yaml.YAMLError as error:
        raise ProtocolProblem(f"this is not valid YAML: {error}.", code="PROT-002", where=path.name) from None
    except RecursionError:
        raise ProtocolProblem("the file is nested too deeply.", code="PROT-002", where=path.name) from None
    if not isinstance(node, yaml.MappingNode):
        raise ProtocolProblem(
            "the file must hold a mapping of keys to values at its top.", code="PROT-002", where=f"{path.name}:1:1"
        )
    try:
        return places.build(node), places.where
    except ValueError as error:
        raise ProtocolProblem(f"a value cannot be read: {error}.", code="PROT-002", where=path.name) from None


def load_yaml_model(path: Path, model: type[M]) -> M:
    """Read a YAML file into a pydantic model.

    Raises
    ------
    ProtocolProblem
        With file:line:column, a did-you-mean for unknown keys, and every further complaint listed.
    """
    data, where = read_yaml(path)
    return parse_model(data, where, path, model)


def parse_model(data: dict[str, Any], where: dict[Path_, Place], path: Path, model: type[M]) -> M:
    """Validate plain data against a pydantic model, reporting places from ``where``."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        # A misspelt key shows up twice, as unknown and as missing: the unknown one tells the user more.
        items = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
        complaints = [_complaint(item, where, path, model) for item in items]
        first_place, first = complaints[0]
        rest = "".join(f"\n       also {place}: {text}" for place, text in complaints[1:12])
        if len(complaints) > 12:
            rest += f"\n       and {len(complaints) - 12} more"
        raise ProtocolProblem(
            first + rest,
            code="PROT-010",
            where=first_place,
            why="A field that is unknown or wrong would silently change what is validated.",
            action="`validation schema` prints every field with its meaning.",
        ) from None


def load_protocol(path: Path) -> Protocol:
    """Read and check a protocol file (see :class:`~validation.protocol.schema.Protocol`)."""
    return load_yaml_model(path, Protocol)


def _complaint(item: Any, where: dict[Path_, Place], path: Path, model: type[BaseModel]) -> tuple[str, str]:
    """Return the place and the sentence for one pydantic error."""
    kind = item["type"]
    absent = kind == "missing"  # what is not there has no place of its own
    location = _as_written(tuple(item["loc"][:-1] if absent else item["loc"]), where)
    location = (*location, item["loc"][-1]) if absent else location
    if kind == "union_tag_invalid":  # which of several schemas applies is said by a key that has an unknown value
        location = (*location, item["ctx"]["discriminator"].strip("'"))
    known = location
    while known and known not in where:
        known = known[:-1]
    line, column = where.get(known, (1, 1))
    name = ".".join(str(part) for part in location)
    if kind == "extra_forbidden":
        near = get_close_matches(str(location[-1]), _fields_at(model, item["loc"][:-1]), n=1, cutoff=0.5)
        text = f"unknown key {location[-1]!r}" + (f"; did you mean {near[0]!r}?" if near else ".")
    elif kind == "union_tag_not_found":
        text = f"{name}.{item['ctx']['discriminator'].strip(chr(39))} is missing."
    elif kind == "missing":
        text = f"{name} is missing."
    elif kind in ("literal_error", "union_tag_invalid"):
        expected = item["ctx"]["expected" if kind == "literal_error" else "expected_tags"]
        found = item["input"] if kind == "literal_error" else item["ctx"]["tag"]
        near = get_close_matches(str(found), [e.strip(" '") for e in expected.split(",")], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        text = f"{name} must be one of {expected}; found {found!r}.{hint}"
    else:
        message = item["msg"].removeprefix("Value error, ")
        text = f"{name}: {message}." if name else f"{message}."
    return f"{path.name}:{line}:{column}", text


def _as_written(location: Path_, where: dict[Path_, Place]) -> Path_:
    """Return a place as the file has it: where there are several schemas, pydantic adds the name of the chosen one."""
    clean: Path_ = ()
    for step in location:
        clean = (*clean, step) if (*clean, step) in where else clean
    return clean


def _fields_at(model: type[BaseModel], location: Iterable[Hashable]) -> list[str]:
    """Return the field names that the schema allows at a location, for suggestions."""
    schema = model.model_json_schema(by_alias=True)
    definitions = schema.get("$defs", {})

    def resolve(part: Any) -> dict[str, Any]:
        if "$ref" in part:
            found: dict[str, Any] = definitions.get(part["$ref"].rsplit("/", 1)[-1], {})
            return found
        for option in part.get("anyOf", ()):
            if "$ref" in option or option.get("type") in ("object", "array"):
                return resolve(option)
        return dict(part)

    here = resolve(schema)
    for step in location:
        if step in here.get("discriminator", {}).get("mapping", {}):
            here = resolve({"$ref": here["discriminator"]["mapping"][step]})
        elif isinstance(step, int):
            here = resolve(here.get("items", {}))
        elif step in here.get("properties", {}):
            here = resolve(here["properties"][step])
    return list(here.get("properties", {}))
