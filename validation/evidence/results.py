"""``results.json``: the one file that every number in every document comes from, and the ids of its numbers.

An id is the path to the number with dots. The word ``endpoints`` is dropped, so that the estimate of endpoint E1 is
``E1.estimate.value``; everything else starts at the top of the file (``cohort.n_cases``). List items are counted from
zero (``E1.worst_cases.0.value``). A key that itself holds a dot (a slice thickness of 2.5) is written as it is; the
file is refused if two numbers would then share an id.

What differs between two runs of the same study (id, times, draft reasons) is the section ``run``; it is kept in
``run.json`` beside it, so that ``results.json`` depends on protocol, data and model alone: two runs, or a run that was
killed and resumed, give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from validation.digest import canonical_json, sha256_bytes, write_atomically
from validation.errors import IntegrityProblem

RESULTS_FILE = "results.json"
RUN_FILE = "run.json"
_ENDPOINTS = "endpoints"
_EXACT_INTEGER = 2**53 - 1  # RFC 8785 numbers are IEEE 754 doubles


def write_results(run_folder: Path, results: dict[str, Any]) -> str:
    """Write ``run.json`` and ``results.json`` in canonical form (RFC 8785), each whole or not at all.

    Parameters
    ----------
    run_folder
        The folder of the run.
    results
        The record described in ``docs/architecture.md``: dictionaries, lists, text, finite numbers, true, false, null.

    Returns
    -------
    str
        SHA-256 of ``results.json``, which is written last: where it is, the run is judged.

    Raises
    ------
    ValueError
        If a value is not JSON (NaN, infinite, a NumPy integer, ...), or two numbers would share an id. Either is a
        defect of the caller, so it is loud and names the id.
    """
    for path, value in _leaves(results, ()):
        _check_leaf(".".join(path), value)
    seen: set[str] = set()
    for identifier, _ in _numbers(results):
        if identifier in seen:
            raise ValueError(f"two numbers of the results have the id {identifier!r}; rename a key that holds a dot")
        seen.add(identifier)
    write_atomically(run_folder / RUN_FILE, canonical_json(results["run"]))
    data = canonical_json({key: value for key, value in results.items() if key != "run"})
    write_atomically(run_folder / RESULTS_FILE, data)
    return sha256_bytes(data)


def read_results(run_folder: Path) -> dict[str, Any]:
    """Read ``results.json`` and ``run.json`` as one record, and check that their bytes are the canonical form.

    Raises
    ------
    IntegrityProblem
        EVD-001 if a file is missing or is not JSON, EVD-002 if its form is not canonical: it was written or edited
        by something else than this program.
    """
    results = _read(run_folder / RESULTS_FILE)
    if "run" in results:
        raise IntegrityProblem(
            f"{RESULTS_FILE} holds a section that belongs into {RUN_FILE}.",
            code="EVD-001",
            where=str(run_folder / RESULTS_FILE),
            action="Restore the run folder from the signed package.",
        )
    return results | {"run": _read(run_folder / RUN_FILE)}


def _read(path: Path) -> dict[str, Any]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise IntegrityProblem(
            f"{path.name} cannot be read: {problem.strerror or problem}.",
            code="EVD-001",
            where=str(path),
            why="Every number in every document comes from this file.",
            action="Restore the run folder from the signed package.",
        ) from None
    return parse_canonical(data, where=str(path))


def parse_canonical(data: bytes, *, where: str) -> dict[str, Any]:
    """Parse bytes that must be the RFC 8785 form of a JSON object.

    >>> parse_canonical(b'{"a":1}', where="x.json")
    {'a': 1}
    """
    try:
        record = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as problem:
        raise IntegrityProblem(
            "the file is not JSON.",
            code="EVD-001",
            where=where,
            why=f"The parser stopped: {problem}.",
            action="Restore the file from the signed package.",
        ) from None
    if not isinstance(record, dict):
        raise IntegrityProblem("the file does not hold a JSON object.", code="EVD-001", where=where)
    try:
        canonical = canonical_json(record)
    except (ValueError, RecursionError):  # numbers outside the IEEE 754 range, lone surrogates
        canonical = b""
    if canonical != data:
        raise IntegrityProblem(
            "the file is not in canonical form (RFC 8785).",
            code="EVD-002",
            where=where,
            why="It was written or edited by something else, so its digest does not stand for its content.",
            action="Restore the file from the signed package.",
        )
    return record


def number_ids(results: dict[str, Any]) -> Iterator[str]:
    """Iterate over the ids of all numbers, in the order of the record.

    >>> list(number_ids({"endpoints": {"E1": {"estimate": {"value": 2.0, "unit": "HU"}}}, "cohort": {"n_cases": 3}}))
    ['E1.estimate.value', 'cohort.n_cases']
    """
    for identifier, _ in _numbers(results):
        yield identifier


def numbers(results: dict[str, Any]) -> dict[str, int | float]:
    """Return every number with its id.

    >>> numbers({"cohort": {"n_cases": 3, "sealed": True}})
    {'cohort.n_cases': 3}
    """
    return dict(_numbers(results))


def lookup(results: dict[str, Any], identifier: str) -> Any:
    """Return what lies at an id: a number, a text, a list or a whole record such as an estimate.

    >>> results = {"endpoints": {"E1": {"estimate": {"lower": 1.5}}}, "cohort": {"n_cases": 3}}
    >>> lookup(results, "E1.estimate.lower"), lookup(results, "cohort.n_cases")
    (1.5, 3)

    Raises
    ------
    KeyError
        If nothing lies there, or more than one thing does. Templates ask for numbers by id, so this fails a build.
    """
    endpoints = results.get(_ENDPOINTS)
    top = {key: value for key, value in results.items() if key != _ENDPOINTS}
    found = [*_resolve(endpoints, identifier), *_resolve(top, identifier)]
    if identifier == _ENDPOINTS and endpoints is not None:
        found.append(endpoints)
    if len(found) != 1:
        raise KeyError(f"{identifier}: {'no such id' if not found else 'the id is ambiguous'} in the results")
    return found[0]


def _resolve(node: Any, path: str) -> Iterator[Any]:
    """Yield everything that ``path`` can mean below ``node``; keys may hold dots, so every split is tried."""
    if isinstance(node, dict):
        items: Any = node.items()
    elif isinstance(node, list):
        head, _, _ = path.partition(".")
        index = int(head) if head.isdecimal() and head.isascii() and head == str(int(head)) else len(node)
        items = [(head, node[index])] if index < len(node) else []
    else:
        return
    for key, child in items:
        if path == key:
            yield child
        elif path.startswith(f"{key}."):
            yield from _resolve(child, path[len(key) + 1 :])


def _numbers(results: dict[str, Any]) -> Iterator[tuple[str, int | float]]:
    for path, value in _leaves(results, ()):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield ".".join(path[1:] if path[0] == _ENDPOINTS and len(path) > 1 else path), value


def _leaves(node: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(node, dict):
        for key, child in node.items():
            if not isinstance(key, str):
                raise ValueError(f"a key of the results is not text: {key!r} below {'.'.join(path)!r}")
            yield from _leaves(child, (*path, key))
    elif isinstance(node, list | tuple):
        for index, child in enumerate(node):
            yield from _leaves(child, (*path, str(index)))
    else:
        yield path, node


def _check_leaf(identifier: str, value: Any) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, float) and math.isfinite(value):
        return
    if isinstance(value, int) and abs(value) <= _EXACT_INTEGER:
        return
    raise ValueError(f"{identifier} of the results is not a JSON value: {value!r} ({type(value).__name__})")
