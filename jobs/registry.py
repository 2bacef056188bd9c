"""The handlers of all installed apps, found at start the way Django finds `admin.py`."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from jobs.contract import Result, Run

Function = Callable[[Run], Result | None]
Isolation = Literal["thread", "process"]
DEFAULT_TIMEOUT_MS = 900_000


class AlreadyRegistered(Exception):
    """A second handler with this name was registered; names are unique over all apps."""


class UnknownHandler(LookupError):
    """No installed app registers a handler with this name."""


@dataclass(frozen=True, kw_only=True)
class Handler:
    """One registered handler and what callers may ask of it."""

    name: str
    function: Function
    description: str = ""
    params: type[Any] | None = None
    isolation: Isolation = "thread"
    staff_only: bool = False
    dangerous: bool = False
    timeout_ms: int = DEFAULT_TIMEOUT_MS

    def schema(self) -> dict[str, Any] | None:
        """The parameters as a JSON Schema, or None when any object is accepted."""
        return None if self.params is None else schema_of(self.params)

    def read_params(self, payload: Mapping[str, Any]) -> Any:
        """The payload as the handler's parameter dataclass (or as it is, where there is none).

        Raises ValueError that names every unknown, missing or wrongly typed parameter.
        """
        return payload if self.params is None else read_dataclass(self.params, payload)


class Registry:
    """Handlers by name. One instance, `handlers`, serves the whole process."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def register(self, handler: Handler) -> None:
        """Add a handler; raises AlreadyRegistered when its name is taken by another function."""
        known = self._handlers.get(handler.name)
        if known is not None:
            raise AlreadyRegistered(
                f"handler {handler.name!r} of {handler.function.__module__} is already registered "
                f"by {known.function.__module__}"
            )
        self._handlers[handler.name] = handler

    def unregister(self, name: str) -> None:
        """Forget a handler (tests that register their own use it)."""
        self._handlers.pop(name, None)

    def get(self, name: str) -> Handler:
        """The handler of this name; raises UnknownHandler, which lists the known ones."""
        try:
            return self._handlers[name]
        except KeyError:
            known = ", ".join(sorted(self._handlers)) or "none"
            raise UnknownHandler(f"handler {name!r} is not registered (known: {known})") from None

    def __contains__(self, name: object) -> bool:
        return name in self._handlers

    def __iter__(self) -> Iterator[Handler]:
        return iter(sorted(self._handlers.values(), key=lambda handler: handler.name))


handlers = Registry()


def handler(
    name: str,
    *,
    params: type[Any] | None = None,
    isolation: Isolation = "thread",
    staff_only: bool = False,
    dangerous: bool = False,
    timeout_ms: int = DEFAULT_TIMEOUT_MS,
) -> Callable[[Function], Function]:
    """Register the decorated function as the handler `name`.

    `params` is a dataclass that the payload is checked against, when a job is saved and when
    it runs. `isolation="process"` runs it in a process of its own, killed at its deadline.
    `dangerous` handlers work only when ENABLED_HANDLERS names them.
    """

    def register(function: Function) -> Function:
        description = (function.__doc__ or "").strip().partition("\n")[0]
        handlers.register(
            Handler(
                name=name,
                function=function,
                description=description,
                params=params,
                isolation=isolation,
                staff_only=staff_only,
                dangerous=dangerous,
                timeout_ms=timeout_ms,
            )
        )
        return function

    return register


def resolve(*, handler: str | None, api: str | None, name: str) -> str:
    """The name of the handler that does a job's work.

    The handler if given; else `http` when an address is set; else the job's own name when
    it equals a registered handler; else `default`.
    """
    if handler:
        return handler
    if api:
        return "http"
    return name if name in handlers else "default"


def default_timeout_ms(name: str) -> int:
    """The time-out of a handler whose job sets none, in milliseconds."""
    return handlers.get(name).timeout_ms if name in handlers else DEFAULT_TIMEOUT_MS


_JSON_TYPES: dict[Any, str] = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    dict: "object",
    list: "array",
    type(None): "null",
}


def _type_words(annotation: Any) -> list[str]:
    origin = typing.get_origin(annotation)
    if origin is None:
        return [_JSON_TYPES[annotation]] if annotation in _JSON_TYPES else []
    if origin in _JSON_TYPES:
        return [_JSON_TYPES[origin]]
    words: list[str] = []
    for part in typing.get_args(annotation):
        words += _type_words(part)
    return words


def schema_of(params: type[Any]) -> dict[str, Any]:
    """A dataclass as a JSON Schema object: its fields, types, defaults and required names."""
    hints = typing.get_type_hints(params)
    properties: dict[str, Any] = {}
    required: list[str] = []
    for item in dataclasses.fields(params):
        words = _type_words(hints[item.name])
        entry: dict[str, Any] = {}
        if words:
            entry["type"] = words[0] if len(words) == 1 else words
        if item.default is not dataclasses.MISSING:
            entry["default"] = item.default
        elif item.default_factory is dataclasses.MISSING:
            required.append(item.name)
        if "description" in item.metadata:
            entry["description"] = item.metadata["description"]
        properties[item.name] = entry
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _fits(value: Any, words: list[str]) -> bool:
    if not words:
        return True
    actual = _JSON_TYPES.get(type(value))
    return actual in words or (actual == "integer" and "number" in words)


def read_dataclass(params: type[Any], payload: Mapping[str, Any]) -> Any:
    """Build the dataclass from a payload; raises ValueError naming each problem, by field."""
    schema = schema_of(params)
    problems = [f"{name}: unknown parameter" for name in payload if name not in schema["properties"]]
    problems += [f"{name}: Required" for name in schema["required"] if name not in payload]
    for name, value in payload.items():
        wanted = schema["properties"].get(name, {}).get("type")
        words = [wanted] if isinstance(wanted, str) else list(wanted or [])
        if not _fits(value, words):
            problems.append(f"{name}: must be {' or '.join(words)}")
    if problems:
        raise ValueError("; ".join(problems))
    return params(**payload)
