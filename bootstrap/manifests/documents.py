"""YAML text to objects, as kubectl reads it, with all problems at once.

kubectl converts YAML 1.1 to JSON (sigs.k8s.io/yaml): dates and `12:30` stay texts, keys become texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from bootstrap.errors import Problem
from bootstrap.manifests.applyset import PART_OF
from bootstrap.manifests.values import Manifest, ManifestObjects, Object, ObjectId, Place

_ERRORS: Final = (yaml.YAMLError, RecursionError, ValueError, TypeError, KeyError, IndexError, AttributeError)
"""What PyYAML raises, for values that are not of their tag too."""
_MOST_VALUES: Final = 1_000_000
"""Of a document, with aliases written out."""
_DEEPEST_NODE: Final = 200
"""libyaml goes down with the whole process where it composes tens of thousands of levels."""
_DEEPEST: Final = 3
"""How far Lists are nested."""
_TAG: Final = "tag:yaml.org,2002:"
_API_VERSION: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?/)?v[0-9][a-z0-9]*")
_LIST: Final = "List"


class _Loader(yaml.SafeLoader if not yaml.__with_libyaml__ else yaml.CSafeLoader):  # type: ignore[misc]
    """YAML 1.1 as Go's parser takes it: no dates, no numbers with colons, floats without a dot."""


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    dropped = {f"{_TAG}{name}" for name in ("timestamp", "value", "int", "float")}
    kept = {
        first: [pair for pair in pairs if pair[0] not in dropped]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    number = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)\Z")
    fraction = re.compile(
        r"(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
    )
    for first in "-+0123456789.":
        kept.setdefault(first, []).extend([(f"{_TAG}int", number), (f"{_TAG}float", fraction)])
    return kept


_Loader.yaml_implicit_resolvers = _resolvers()


class _WrongError(ValueError):
    def __init__(self, line: int, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


@dataclass
class Documents:
    """Objects and problems of all files so far."""

    manifests: list[Manifest] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def read(self, file: str, text: str) -> None:
        """Take in a file: several documents, and Lists."""
        too_deep = _too_deep(text)
        if too_deep:
            self._add(file, too_deep, f"is nested more than {_DEEPEST_NODE} levels deep")
            return
        loader = _Loader(text)
        try:
            while loader.check_node():
                self._document(file, loader, loader.get_node())
        except _ERRORS as error:
            self._add(file, *_syntax(error))
        finally:
            loader.dispose()

    def add(self, source: ManifestObjects) -> None:
        """Take in objects that were made here."""
        for body in source.objects:
            self._object(Place(file=source.shown), body, early=source.early, stays=source.stays)

    def check_together(self) -> None:
        """Note objects that are there twice."""
        first: dict[ObjectId, Place] = {}
        for each in self.manifests:
            # Whether a kind is in namespaces is not known here: no namespace, and the default one, are the same.
            key = each.id_in(namespaced=True)
            if key in first:
                shown = each.id_in(namespaced=bool(each.namespace))
                message = f"{shown} is there already, at {first[key]}"
                self._add(each.place.file, each.place.line, message, "keep one of them")
            first.setdefault(key, each.place)

    def _document(self, file: str, loader: Any, node: yaml.Node) -> None:  # noqa: ANN401 - either of PyYAML's loaders
        line = _line(node)
        try:
            _check_size(node)
            for problem in _repeated(node):
                self._add(file, problem.line, problem.message, problem.hint)
            body = _json(loader.construct_document(node), line)
        except _WrongError as wrong:
            self._add(file, wrong.line, wrong.message, wrong.hint)
            return
        except _ERRORS as error:
            at, message, hint = _syntax(error)
            self._add(file, at or line, message, hint)
            return
        if body is not None:
            self._take(file, body, node, 0)

    def _take(self, file: str, body: object, node: yaml.Node | None, depth: int) -> None:
        line = _line(node) if node is not None else 0
        if not isinstance(body, dict):
            self._add(file, line, "is not an object", "an object begins with apiVersion and kind")
            return
        kind, items = body.get("kind"), body.get("items")
        if not (isinstance(kind, str) and kind.endswith(_LIST) and isinstance(items, list)):
            self._object(Place(file=file, line=line), body)
            return
        if depth >= _DEEPEST:
            self._add(file, line, "Lists in Lists in Lists", "list the objects themselves")
            return
        nodes = _items(node)
        for index, item in enumerate(items):
            # `ConfigMapList`: its items need not repeat kind and version.
            own = {"apiVersion": body.get("apiVersion"), "kind": kind.removesuffix(_LIST)} if kind != _LIST else {}
            filled = {**own, **item} if isinstance(item, dict) else item
            self._take(file, filled, nodes[index] if index < len(nodes) else node, depth + 1)

    def _object(self, place: Place, body: Object, *, early: bool = False, stays: bool = False) -> None:
        found = list(_wrong_parts(body))
        for message, hint in found:
            self._add(place.file, place.line, message, hint)
        if not found:
            self.manifests.append(Manifest(body=body, place=place, early=early, stays=stays))

    def _add(self, file: str, line: int, message: str, hint: str = "") -> None:
        self.problems.append(Problem(path=file, line=line or None, message=message, hint=hint))


def _wrong_parts(body: Object) -> Iterator[tuple[str, str]]:
    """What an object lacks, or has and must not have: message and hint."""
    version, kind, metadata = body.get("apiVersion"), body.get("kind"), body.get("metadata")
    for name, example in (("apiVersion", "apps/v1"), ("kind", "Deployment")):
        if not isinstance(body.get(name), str) or not body[name]:
            yield f"has no {name}", f"such as {name}: {example}"
    if isinstance(version, str) and version and not _API_VERSION.fullmatch(version):
        yield f"apiVersion {version!r} is no group and version", "such as v1 or apps/v1"
    if kind == _LIST:
        yield "is a List without items", ""
    elif not isinstance(metadata, dict):
        yield "has no metadata", "it has at least a name"
    else:
        yield from _wrong_metadata(metadata)


def _wrong_metadata(metadata: Object) -> Iterator[tuple[str, str]]:
    name, namespace, labels = metadata.get("name"), metadata.get("namespace"), metadata.get("labels")
    if "generateName" in metadata:
        yield "metadata.generateName: each time it would be another object", "give it a name"
    elif name is None or name == "":
        yield "has no metadata.name", ""
    elif not isinstance(name, str):
        yield f"metadata.name is not a text: {name}", f'quote it: "{name}"'
    if namespace is not None and not isinstance(namespace, str):
        yield f"metadata.namespace is not a text: {namespace}", f'quote it: "{namespace}"'
    if labels is not None and not isinstance(labels, dict):
        yield "metadata.labels is not a mapping", ""
    elif PART_OF in (labels or {}):
        yield f"has the label {PART_OF}", "remove it: homelab-k8s sets it itself"


def _json(value: object, line: int) -> Any:  # noqa: ANN401 - JSON
    """A value of PyYAML as JSON."""
    match value:
        case dict():
            return {_text_key(key, line): _json(each, line) for key, each in value.items()}
        case list():
            return [_json(each, line) for each in value]
        case float():
            return _number(value, line)
        case None | str() | int():
            return value
        case _:
            raise _WrongError(line, f"holds a {type(value).__name__}, which JSON has not", "write it as a text, quoted")


def _number(value: float, line: int) -> float | int:
    if value != value or value in (float("inf"), float("-inf")):
        raise _WrongError(line, f"holds {value}, which JSON has not", "quote it where it is a text")
    return int(value) if value.is_integer() and abs(value) < 1e15 else value


def _text_key(key: object, line: int) -> str:
    match key:
        case str():
            return key
        case bool():
            return str(key).lower()
        case int():
            return str(key)
        case _:
            raise _WrongError(line, f"has the key {key}, which is no text", "quote it")


def _too_deep(text: str) -> int:
    """The line where a text is nested too deeply; 0 where it is not, or is not YAML, which shows later."""
    depth = 0
    try:
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > _DEEPEST_NODE:
                    mark = event.start_mark
                    return int(mark.line) + 1 if mark is not None else 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
    except _ERRORS:
        return 0
    return 0


def _check_size(node: yaml.Node) -> None:
    """Raise _WrongError for a document that aliases make huge."""
    if _size(node, {}) > _MOST_VALUES:
        raise _WrongError(_line(node), f"has more than {_MOST_VALUES} values, with its aliases written out")


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    if id(node) not in known:
        known[id(node)] = 0  # an alias to what it is in adds nothing here; PyYAML refuses it, or JSON does
        known[id(node)] = 1 + sum(_size(each, known) for each in _children(node))
    return known[id(node)]


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _repeated(node: yaml.Node) -> Iterator[_WrongError]:
    """Keys that a mapping has twice: the second would win without a word."""
    todo, seen = [node], set[int]()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, _value in each.value:
                if isinstance(key, yaml.ScalarNode) and key.tag != f"{_TAG}merge":
                    if key.value in lines:
                        message = f"the key {key.value} is repeated, first in line {lines[key.value]}"
                        yield _WrongError(_line(key), message, "keep one of them")
                    lines.setdefault(key.value, _line(key))
        todo += _children(each)


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    """The nodes of a List's items."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == "items" and isinstance(value, yaml.SequenceNode):
                return list(value.value)
    return []


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _syntax(error: BaseException) -> tuple[int, str, str]:
    """The line, the message and a hint for what PyYAML raised."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line = int(mark.line) + 1 if mark is not None else 0
    if isinstance(error, RecursionError):
        return line, "is nested too deeply", ""
    if isinstance(error, yaml.MarkedYAMLError):
        said = error.problem or error.context or "no reason given"
        hint = "quote the value, or fix the indentation" if "mapping values are not allowed" in said else ""
        return line, f"is not YAML: {said}", hint
    return line, f"is not YAML: {str(error) or type(error).__name__}".splitlines()[0], ""
