"""Writes the pages of reference that come from the code: `make schema`.

`api.md` is made of openapi.json, which a test holds to the code; `commands.md` of what the commands take.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
METHODS = ("get", "head", "post", "put", "patch", "delete")
# What any route may answer; said once.
ANYWHERE = {"400", "401", "403", "413", "415", "429", "500", "503"}
HOW = """\
Try it in Swagger UI at `/api` of your installation; as OpenAPI it is served at `/api/schema`, and here it is
[a file](openapi.json). Any route may also answer 400, 401, 403, 413, 415, 429, 500 or 503, with the body
`{error, message, details, statusCode, path, requestId}`.
"""
MADE = "<!-- Made by `make schema`; edit the code, not this page. -->"

Node = dict[str, Any]

HOW_TO_CALL = (
    "`.venv/bin/python manage.py COMMAND`, in the environment of the service (`SETTINGS_PROFILE=demo` for the"
    " demo's). In a container the Python is `python`."
)


def write_api(description: Node) -> str:
    """The page of all routes and objects."""
    lines = [MADE, "", "# API", "", description["info"]["description"], "", _words(HOW), ""]
    groups: dict[str, list[tuple[str, str, Node]]] = {}
    for path, operations in description["paths"].items():
        for method in METHODS:
            if method in operations:
                operation = operations[method]
                groups.setdefault(operation["tags"][0], []).append((method, path, operation))
    for tag in sorted(groups):
        lines += [f"## Routes of {tag}", ""]
        for method, path, operation in groups[tag]:
            lines += list(_operation(method, path, operation))
    lines += ["## Objects", ""]
    for name, schema in sorted(description["components"]["schemas"].items()):
        lines += list(_object(name, schema))
    return "\n".join(lines).rstrip() + "\n"


def _operation(method: str, path: str, operation: Node) -> Iterator[str]:
    yield f"### {method.upper()} {path}"
    yield ""
    if not operation.get("security"):
        yield "No token is needed."
        yield ""
    yield _words(operation["description"])
    yield ""
    parameters = [one for one in operation.get("parameters", ()) if one["in"] != "path"]
    if parameters:
        yield "| parameter | is | meaning |"
        yield "|---|---|---|"
        for one in parameters:
            place = "" if one["in"] == "query" else f" ({one['in']})"
            yield f"| `{one['name']}`{place} | {_kind(one['schema'])} | {_cell(one.get('description', ''))} |"
        yield ""
    if body := operation.get("requestBody"):
        yield f"Body: {_kind(next(iter(body['content'].values()))['schema'])}"
        yield ""
    for status, answer in operation["responses"].items():
        if status not in ANYWHERE:
            yield f"- {status}{_answer(answer)}"
    yield ""


def _answer(answer: Node) -> str:
    if "$ref" in answer:
        return f" {re.sub(r'(?<=[a-z])(?=[A-Z])', ' ', answer['$ref'].rpartition('/')[2]).lower()}"
    kinds = [f"{_kind(content.get('schema', {}))}" for content in answer.get("content", {}).values()]
    return f": {', '.join(dict.fromkeys(kinds))}" if kinds else ""


def _object(name: str, schema: Node) -> Iterator[str]:
    yield f"### {name}"
    yield ""
    if schema.get("description"):
        yield _words(schema["description"])
        yield ""
    if "properties" not in schema:
        yield _kind(schema)
        yield ""
        return
    required = set(schema.get("required", ()))
    yield "| field | is | meaning |"
    yield "|---|---|---|"
    for field, kind in schema["properties"].items():
        mark = " (required)" if field in required and name.endswith("Request") else ""
        yield f"| `{field}`{mark} | {_kind(kind)} | {_cell(kind.get('description', ''))} |"
    yield ""


def _kind(schema: Node) -> str:
    """What values a schema takes, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    for word, joined in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
        if word in schema:
            text = joined.join(_kind(one) for one in schema[word])
            return text + _end(schema)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"] if value is not None) + _end(schema)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}{_bounds(schema, 'Items')}{_end(schema)}"
    if schema.get("type") == "object" and "properties" in schema:
        return f"{{{', '.join(schema['properties'])}}}{_end(schema)}"
    name = schema.get("format") or schema.get("type") or "anything"
    plain = {"date-time": "time", "uuid": "UUID", "boolean": "true or false", "double": "number"}.get(
        name, name
    )
    bounds = _bounds(schema, "imum") or _bounds(schema, "Length", " characters")
    return f"{plain}{bounds}{_end(schema)}"


def _bounds(schema: Node, ending: str, unit: str = "") -> str:
    low, high = schema.get(f"min{ending}"), schema.get(f"max{ending}")
    if low is not None and high is not None:
        return f", {low} to {high}{unit}"
    if high is not None:
        return f", at most {high}{unit}"
    return f", at least {low}{unit}" if low is not None else ""


def _end(schema: Node) -> str:
    default = schema.get("default")
    told = f" = `{json.dumps(default)}`" if default is not None else ""
    return told + (", or null" if schema.get("nullable") else "")


def _words(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _words(text).replace("|", "\\|")


# Commands -------------------------------------------------------------------------------------------


def write_commands() -> str:
    """The page of our own commands."""
    from django.core.management import get_commands

    apps = ("web", "accounts", "jobs", "executions", "reports", "alerts")
    ours = {name: app for name, app in get_commands().items() if app in apps}
    lines = [
        MADE,
        "",
        "# Commands",
        "",
        HOW_TO_CALL,
        "",
    ]
    for name, app in sorted(ours.items()):
        command = import_module(f"{app}.management.commands.{name}").Command()
        lines += [f"## {name}", "", _words(command.help), ""]
        own = argparse.ArgumentParser()
        command.add_arguments(own)
        told = [one for one in own._actions if not isinstance(one, argparse._HelpAction)]
        if told:
            lines += ["| argument | meaning |", "|---|---|"]
            lines += [f"| {_argument(one)} | {_cell(one.help or '')} |" for one in told]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _argument(action: argparse.Action) -> str:
    value = str(action.metavar or action.dest.upper())
    if action.choices:
        value = "|".join(str(choice) for choice in action.choices)
    if not action.option_strings:
        return f"`{value}`".replace("|", "\\|")
    takes = "" if action.nargs == 0 else f" {value}"
    return f"`{', '.join(action.option_strings)}{takes}`".replace("|", "\\|")


def main() -> None:
    """Write both pages."""
    os.environ.update({"APP_ENV": "test", "DJANGO_SETTINGS_MODULE": "scheduler_site.settings"})
    for name in ("SECRET_KEY", "JWT_SECRET"):
        os.environ.setdefault(name, secrets.token_urlsafe(48))
    sys.path.insert(0, str(FOLDER.parent))
    import django

    django.setup()
    description = json.loads((FOLDER / "openapi.json").read_text(encoding="utf-8"))
    (FOLDER / "api.md").write_text(write_api(description), encoding="utf-8")
    (FOLDER / "commands.md").write_text(write_commands(), encoding="utf-8")


if __name__ == "__main__":
    main()
