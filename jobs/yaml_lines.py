"""YAML as data only, with the line of every value, so that a complaint can point at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import yaml
from yaml.reader import ReaderError

MAX_BYTES = 1_048_576
MAX_VALUES = 200_000
MAX_DEPTH = 32

Path = tuple[str | int, ...]


class Unreadable(ValueError):
    """The text is no YAML that we read; `line` counts from 1."""

    def __init__(self, message: str, line: int = 1) -> None:
        super().__init__(message)
        self.line = line


@dataclass(kw_only=True)
class Located:
    """A value and where its parts stand: `lines` by path, keys by the line of the key."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int:
        """The line of this path, or of the nearest part of it that exists."""
        while path not in self.lines and path:
            path = path[:-1]
        return self.lines.get(path, 1)


def parse(text: str) -> Located:
    """The one document of the text, made of plain values only (times as ISO 8601 text).

    Anchors and merge keys are followed within bounds. Raises Unreadable for malformed text, another
    tag than the plain ones, a key that is given twice or is no text, and for too much of anything.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise Unreadable(f"the file is longer than {MAX_BYTES} bytes")
    try:
        loader = _Loader(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise Unreadable(f"the character U+{ord(text[error.position]):04X} is not allowed", line) from None
    try:
        node = loader.get_single_node()
        reader = _Reader(loader)
        return Located(value=reader.read(node, (), 0) if node else None, lines=reader.lines)
    except RecursionError:
        raise Unreadable(f"nested deeper than {MAX_DEPTH}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(_words(error), mark.line + 1 if mark else 1) from None
    except yaml.YAMLError as error:
        raise Unreadable(str(error).splitlines()[0]) from None
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """The safe loader, stopped while nesting is still harmless."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH + 2:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}", self.line + 1)
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


class _Reader:
    def __init__(self, loader: yaml.SafeLoader) -> None:
        self._loader = loader
        self._count = 0
        self.lines: dict[Path, int] = {}

    def read(self, node: yaml.Node, path: Path, depth: int) -> Any:
        # An alias is read again wherever it stands, so the count bounds what it unfolds to.
        self._count += 1
        line = node.start_mark.line + 1
        if self._count > MAX_VALUES:
            raise Unreadable(f"more than {MAX_VALUES} values", line)
        if depth > MAX_DEPTH:
            raise Unreadable(f"nested deeper than {MAX_DEPTH}", line)
        self.lines.setdefault(path, line)
        if isinstance(node, yaml.MappingNode):
            return self._read_mapping(node, path, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, place), depth + 1) for place, item in enumerate(node.value)]
        return self._read_scalar(node, line)

    def _read_mapping(self, node: yaml.MappingNode, path: Path, depth: int) -> dict[str, Any]:
        own = {id(key) for key, _ in node.value}
        self._loader.flatten_mapping(node)
        found: dict[str, Any] = {}
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            name = key.value if isinstance(key, yaml.ScalarNode) else None
            if name is None:
                raise Unreadable("a key must be text", line)
            if id(key) in own and name in seen:
                raise Unreadable(f"{name} is given twice", line)
            if id(key) in own:
                seen.add(name)
            self.lines[*path, name] = line
            found[name] = self.read(value, (*path, name), depth + 1)
        return found

    def _read_scalar(self, node: yaml.Node, line: int) -> Any:
        try:
            value = self._loader.construct_object(node)
        except (ValueError, OverflowError) as error:
            raise Unreadable(str(error), line) from None
        if isinstance(value, datetime):
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
        if isinstance(value, date):
            return f"{value.isoformat()}T00:00:00+00:00"
        if value is None or isinstance(value, str | bool | int | float):
            return value
        raise Unreadable(f"{node.tag.rpartition(':')[2]} is not read here", line)


def _words(error: yaml.MarkedYAMLError) -> str:
    text = ", ".join(part for part in (error.context, error.problem) if part)
    if "alias" in text or "*" in text:
        text += " (put cron expressions that begin with * in quotes)"
    return text
