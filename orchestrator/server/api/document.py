"""The OpenAPI document, made from the endpoints; and a page for people, made from the document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from orchestrator.server.api.endpoint import HEADERS_OF_PAGES, Endpoint
from orchestrator.server.api.responses import Refused

_REF: Final = "#/components/schemas/{model}"


def document(endpoints: Sequence[Endpoint], version: str, root: str) -> dict[str, Any]:
    """OpenAPI 3.1; ``root`` is where the app is mounted."""
    components: dict[str, Any] = {"Refused": _schema(Refused, {})}
    paths: dict[str, Any] = {}
    for endpoint in endpoints:
        paths.setdefault(f"/api{endpoint.path}", {})[endpoint.method.lower()] = _operation(endpoint, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Orchestrator",
            "version": version,
            "description": "Everything that the pages show and do. Names follow Prefect 3's where it has the like.",
        },
        "servers": [{"url": root or "/"}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _operation(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()}{endpoint.path}").strip("_"),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "responses": _responses(endpoint, components),
    }
    parameters = _parameters(endpoint, components)
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not None:
        schema = _schema(endpoint.body, components)
        operation["requestBody"] = {
            "required": bool(components[endpoint.body.__name__].get("required")),
            "content": {"application/json": {"schema": schema}},
        }
    if endpoint.everybody:
        operation["security"] = []
    return operation


def _parameters(endpoint: Endpoint, components: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    if endpoint.query is not None:
        for name, schema in endpoint.query.model_json_schema()["properties"].items():
            found.append({"name": name, "in": "query", "required": False, "schema": _without_null(schema)})
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out, never null."""
    some = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
    if len(some) != 1:
        return {name: part for name, part in schema.items() if name != "title"}
    return some[0]  # type: ignore[no-any-return]


def _responses(endpoint: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": "Successful"}
    if endpoint.gives is bytes:
        answer["content"] = {"*/*": {"schema": {"type": "string", "format": "binary"}}}
    elif endpoint.gives is not None:
        answer["content"] = {"application/json": {"schema": _schema(endpoint.gives, components)}}
    if endpoint.pages:
        answer["headers"] = {
            name: {"description": meaning, "schema": {"type": "string"}} for name, meaning in HEADERS_OF_PAGES.items()
        }
    refusals = {"503": "The server underneath does not answer"}
    if not endpoint.everybody:
        refusals["401"] = "A bearer token is needed"
        refusals["403"] = "Not from there, or not on a read-only server"
    if endpoint.missing:
        refusals["404"] = endpoint.missing
    if endpoint.conflict:
        refusals["409"] = endpoint.conflict
    if endpoint.body is not None or endpoint.query is not None:
        refusals["422"] = "What was sent is not what is expected"
    if endpoint.body is not None:
        refusals["413"] = "The body is too large"
    good = {str(status): answer for status in endpoint.status}
    return {**good, **{code: _refusal(meaning) for code, meaning in sorted(refusals.items())}}


def _refusal(meaning: str) -> dict[str, Any]:
    return {
        "description": meaning,
        "content": {"application/json": {"schema": {"$ref": _REF.format(model="Refused")}}},
    }


def _schema(of: Any, components: dict[str, Any]) -> dict[str, Any]:
    """A reference to the schema of a model, or the schema of something else; what it is made of goes to components."""
    is_input = isinstance(of, type) and issubclass(of, BaseModel)
    mode: Any = "validation" if is_input else "serialization"
    schema = TypeAdapter(of).json_schema(ref_template=_REF, mode=mode)
    components.update(schema.pop("$defs", {}))
    if not is_input or of is Refused:
        return schema
    components[of.__name__] = schema
    return {"$ref": _REF.format(model=of.__name__)}


# -- for people ------------------------------------------------------------------------------------------------------


def page(openapi: dict[str, Any], root: str) -> str:
    """The document as HTML, without a script."""
    by_tag: dict[str, list[str]] = {}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            by_tag.setdefault(operation["tags"][0], []).append(_section(path, method.upper(), operation))
    parts = [f"<h2>{escape(tag)}</h2>{''.join(sections)}" for tag, sections in by_tag.items()]
    schemas = [
        f'<details id="{escape(name)}"><summary><code>{escape(name)}</code> {escape(schema.get("description", ""))}'
        f"</summary>{_fields(schema)}</details>"
        for name, schema in openapi["components"]["schemas"].items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" '
        f'content="light dark"><title>API</title><link rel="stylesheet" href="{escape(root)}/api/docs.css"></head>'
        f"<body><main><h1>{escape(openapi['info']['title'])} API {escape(openapi['info']['version'])}</h1>"
        f'<p>{escape(openapi["info"]["description"])} <a href="{escape(root)}/api/openapi.json">openapi.json</a></p>'
        f"<p>Send <code>Authorization: Bearer TOKEN</code> where the server has a token.</p>{''.join(parts)}"
        f"<h2>Schemas</h2>{''.join(schemas)}</main></body></html>"
    )


def _section(path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    rows = [
        f"<tr><td>{escape(parameter['in'])}</td><td><code>{escape(parameter['name'])}</code></td>"
        f"<td>{_type(parameter['schema'])}</td></tr>"
        for parameter in operation.get("parameters", ())
    ]
    if body:
        rows.append(f"<tr><td>body</td><td></td><td>{_type(body)}</td></tr>")
    for code, response in operation["responses"].items():
        content = response.get("content", {}).get("application/json", {}).get("schema", {})
        rows.append(f"<tr><td>{code}</td><td>{escape(response['description'])}</td><td>{_type(content)}</td></tr>")
    return (
        f'<details><summary><b class="{method.lower()}">{method}</b> <code>{escape(path)}</code> '
        f"{escape(operation['summary'])}</summary><table>{''.join(rows)}</table></details>"
    )


def _fields(schema: dict[str, Any]) -> str:
    needed = set(schema.get("required", ()))
    rows = [
        f"<tr><td><code>{escape(name)}</code>{' *' if name in needed else ''}</td><td>{_type(part)}</td>"
        f"<td>{escape(part.get('description', ''))}</td></tr>"
        for name, part in schema.get("properties", {}).items()
    ]
    return f"<table>{''.join(rows)}</table>"


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(part) for part in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    if "const" in schema:
        return f"<code>{escape(str(schema['const']))}</code>"
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"table of {_type(schema['additionalProperties'])}"
    return escape(str(schema.get("format") or schema.get("type") or "anything"))


STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; } main { max-width: 60rem; margin: 0 auto; padding: 1rem; }
summary { cursor: pointer; padding: .3rem 0; } code { font-size: .9em; } b { display: inline-block; min-width: 4.5em; }
table { border-collapse: collapse; margin: .3rem 0 1rem 1.2rem; } td { padding: .15rem .8rem; vertical-align: top; }
tr + tr td { border-top: 1px solid #8884; } details:target { outline: 2px solid currentColor; }
"""
