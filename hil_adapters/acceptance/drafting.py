"""A register map written from what was found in a SunSpec device: fixed addresses, to be completed by a person."""

from pathlib import Path
from typing import Any

import yaml

from hil_adapters.acceptance.looking import Exploration
from hil_adapters.errors import MapError
from hil_adapters.maps.checks import mistakes_in
from hil_adapters.maps.loader import load_map
from hil_adapters.maps.schema import RegisterMap

__all__ = ["draft_of", "write_draft"]

_GAPS = (0, 20, 60, 124)
_HEAD = (
    "# Register map written from a device, with the addresses that were found in it. Other devices of this make may have\n"
    "# others: the shipped map with discovery finds them by itself. Check everything that may be written.\n"
)


def draft_of(found: Exploration) -> RegisterMap:
    """Return the resolved map of a device with its own name and source, without discovery."""
    identity, register_map = found.look.identity, found.look.map
    source = register_map.source.model_copy(
        update={
            "document": f"Read from {identity}",
            "pages": "none",
            "remarks": f"SunSpec models {', '.join(str(model.model) for model in found.chain.models)} from "
            f"{found.chain.base} on. {register_map.source.remarks}",
        }
    )
    draft = register_map.model_copy(
        update={
            "name": f"draft_of_{register_map.name}",
            "title": f"Draft: {identity}",
            "source": source,
            "verified": "manual",
            "discovery": None,
            "link": register_map.link.model_copy(update={"unit": found.look.unit}),
        }
    )
    return _bridged(draft)


def _bridged(draft: RegisterMap) -> RegisterMap:
    """Return the draft with gaps in reads that are long enough: registers that the device does not implement are there, too."""
    for max_gap in _GAPS:
        wider = draft.model_copy(update={"link": draft.link.model_copy(update={"max_gap": max_gap})})
        if next(mistakes_in(wider), None) is None:
            return wider
    return draft


def write_draft(found: Exploration, file: Path) -> None:
    """Write the draft as YAML and check that it can be loaded.

    Raises:
        MapError: the file cannot be written, or would not be a valid map.
    """
    data: dict[str, Any] = draft_of(found).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    text = yaml.safe_dump({"format": 1, **data}, sort_keys=False, allow_unicode=True, width=120)
    try:
        file.write_text(_HEAD + text, encoding="utf-8")
    except OSError as error:
        raise MapError(f"{file}: cannot be written: {error.strerror}; name another file") from error
    load_map(file.absolute())
