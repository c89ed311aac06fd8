# SPDX-License-Identifier: Apache-2.0
"""Checks what the API answers against its own contract: as much of JSON Schema 2020-12 as the
document uses; a keyword it does not know is an error, so that none is passed over."""
import json
import re

TYPES = {"object": dict, "array": list, "string": str, "null": type(None), "boolean": bool}
KNOWN = {"$ref", "type", "const", "enum", "anyOf", "oneOf", "properties", "required", "additionalProperties",
         "propertyNames", "maxProperties", "items", "maxItems", "uniqueItems", "minLength", "maxLength",
         "pattern", "minimum", "maximum", "default", "description", "format"}
TIME = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


class Contract:
    def __init__(self, document):
        self.document = document
        self.paths = [(re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", path) + "$"), item)
                      for path, item in document["paths"].items()]
        self.used = set()

    def resolve(self, schema):
        while "$ref" in schema:
            target = self.document
            for part in schema["$ref"][2:].split("/"):
                target = target[part]
            schema = target
        return schema

    def errors(self, value, schema, at="$"):
        schema = self.resolve(schema)
        unknown = set(schema) - KNOWN
        assert not unknown, f"the contract uses {unknown}"
        if "const" in schema and value != schema["const"]:
            yield f"{at}: {value!r} is not {schema['const']!r}"
        if "enum" in schema and value not in schema["enum"]:
            yield f"{at}: {value!r} is none of {schema['enum']}"
        for word in ("anyOf", "oneOf"):
            if word in schema:
                fits = [s for s in schema[word] if not list(self.errors(value, s, at))]
                if len(fits) < 1 or (word == "oneOf" and len(fits) != 1):
                    yield f"{at}: {value!r} fits {len(fits)} of {word}"
        yield from self.type_errors(value, schema, at)

    def type_errors(self, value, schema, at):
        kind = schema.get("type")
        if kind in ("integer", "number"):
            if isinstance(value, bool) or not isinstance(value, int):
                yield f"{at}: {value!r} is no {kind}"
            elif not schema.get("minimum", value) <= value <= schema.get("maximum", value):
                yield f"{at}: {value} is out of bounds"
        elif kind and not isinstance(value, TYPES[kind]):
            yield f"{at}: {value!r} is no {kind}"
        elif kind == "string":
            if not schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 1 << 30):
                yield f"{at}: length {len(value)}"
            if "pattern" in schema and not re.search(schema["pattern"], value):
                yield f"{at}: {value!r} does not match {schema['pattern']}"
            if schema.get("format") == "date-time" and not TIME.match(value):
                yield f"{at}: {value!r} is no time"
        elif kind == "array":
            if len(value) > schema.get("maxItems", 1 << 30):
                yield f"{at}: too many items"
            for i, item in enumerate(value):
                yield from self.errors(item, schema.get("items", {}), f"{at}[{i}]")
        elif kind == "object":
            yield from self.object_errors(value, schema, at)

    def object_errors(self, value, schema, at):
        known = schema.get("properties", {})
        for name in schema.get("required", []):
            if name not in value:
                yield f"{at}: {name} is missing"
        if len(value) > schema.get("maxProperties", 1 << 30):
            yield f"{at}: too many members"
        more = schema.get("additionalProperties", True)
        for name, member in value.items():
            if name in known:
                yield from self.errors(member, known[name], f"{at}.{name}")
            elif more is False:
                yield f"{at}: {name} is not in the contract"
            elif isinstance(more, dict):
                yield from self.errors(member, more, f"{at}.{name}")
            yield from self.errors(name, schema.get("propertyNames", {}), f"{at}: name {name}")

    def operation(self, method, path):
        for pattern, item in self.paths:
            if pattern.match(path.split("?")[0]):
                return item.get("get" if method == "HEAD" else method.lower())
        return None

    def check(self, method, path, body, reply):
        """Does the answer (and, when it was accepted, the request) keep the contract?"""
        operation = self.operation(method, path)
        if operation is None:
            assert reply.status in (404, 405), f"{method} {path} is not in the contract: {reply.status}"
            return
        self.used.add(operation["operationId"])
        response = operation["responses"].get(str(reply.status))
        if response is None:
            assert reply.status in (400, 404), f"{operation['operationId']}: {reply.status} is not declared"
            response = {"$ref": f"#/components/responses/E{reply.status}"}
        content = self.resolve(response).get("content", {})
        media = reply.headers.get("content-type", "").split(";")[0]
        if "application/json" in content and method != "HEAD":
            assert media == "application/json", media
            found = list(self.errors(reply.json, content["application/json"]["schema"]))
            assert not found, f"{operation['operationId']} {reply.status}: {found[:5]} in {reply.raw[:500]}"
        elif content and method != "HEAD":
            assert media in content or "application/octet-stream" in content, media
        if reply.status < 300 and body is not None and "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            value = json.loads(body) if isinstance(body, (str, bytes)) else body
            found = list(self.errors(value, schema))
            assert not found, f"{operation['operationId']}: accepted a body that the contract refuses: {found[:5]}"
