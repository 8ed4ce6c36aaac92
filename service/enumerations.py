"""Enumerations by name, for the contract: where fields take the same values, generated clients have one class."""

from collections.abc import Iterator
from typing import Any, get_args

from models import columns
from models.definitions import uploaded
from models.definitions.initial import Activation, InitName, RecurrentName
from models.definitions.job import Policy
from models.definitions.layers import Norm
from models.definitions.network import Ending
from models.ingest.options import Format
from service.replies import StatusName, VerdictName

NAMED: dict[tuple[str, ...], str] = {
    get_args(kind): name
    for name, kind in {
        "Activation": Activation,
        "ColumnKind": columns.Kind,
        "DataKind": uploaded.Kind,
        "Ending": Ending,
        "Format": Format,
        "InitName": InitName,
        "Norm": Norm,
        "Policy": Policy,
        "RecurrentName": RecurrentName,
        "Status": StatusName,
        "Task": uploaded.Task,
        "Verdict": VerdictName,
    }.items()
}


def name_enumerations(contract: dict[str, Any]) -> None:
    """Puts each into the components, and refers to it where it stands."""
    schemas = contract["components"]["schemas"]
    for node in list(_nodes({"schemas": list(schemas.values()), "paths": contract["paths"]})):
        name = NAMED.get(tuple(map(str, node["enum"])))
        if name is not None and node is not schemas.get(name):
            schemas.setdefault(name, {"type": "string", "enum": node["enum"], "title": name})
            for key in ("enum", "type", "title"):
                node.pop(key, None)
            node["$ref"] = f"#/components/schemas/{name}"


def _nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Whatever lists its values."""
    if isinstance(node, list):
        for item in node:
            yield from _nodes(item)
    if isinstance(node, dict):
        if isinstance(node.get("enum"), list):
            yield node
        for item in node.values():
            yield from _nodes(item)
