"""Writes the JSON Schema of register maps beside the shipped ones: ``python -m tools.publish_map_schema``."""

import json

from hil_adapters.maps.loader import json_schema, map_file

__all__ = ["main"]


def main() -> None:
    """Write the file again; a test compares it with the program."""
    path = map_file("generic_meter").parent / "register_map.schema.json"
    path.write_text(json.dumps(json_schema(), indent=1) + "\n")


if __name__ == "__main__":
    main()
