"""JSON Schema of scenario files, for editors and for the reference in the docs."""

from typing import Any

from twin.scenario.schema import Scenario

__all__ = ["scenario_json_schema"]


def scenario_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a scenario file.

    A file that extends another may leave out what the other one has.
    """
    schema = Scenario.model_json_schema(by_alias=True)
    properties = schema["properties"]
    extends = {"type": "string", "title": "Extends", "description": "Scenario file to inherit from."}
    schema["properties"] = {"extends": extends, **properties}
    required = [key for key in schema.pop("required") if key != "name"]
    schema["anyOf"] = [{"required": ["extends"]}, {"required": required}]
    strategies = properties["strategies"]
    strategies["additionalProperties"] = {"anyOf": [strategies["additionalProperties"], {"type": "null"}]}
    definition = schema["$defs"]["StrategySpec"]
    definition.pop("required")  # both default to the key
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "gemello scenario",
    }
