"""C text written from the tables of variables: enumerators for the model, a table for the shell."""

from collections.abc import Iterator

import numpy as np

from models.devices.base import DeviceKind, Variable

__all__ = ["model_header", "variables_header"]


def variables_header(kind: DeviceKind, states: tuple[Variable, ...]) -> str:
    """Return <kind>_variables.h: an enumerator ``V_<NAME>`` for each variable, hidden states last, then ``V_COUNT``."""
    guard = f"{kind.name.upper()}_VARIABLES_H"
    lines = [
        f"/* Written by tools/build_fmus.py from the table of the kind {kind.name}: change the table. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "enum {",
        *(f"    V_{entry.name.upper()}, /* {_comment(entry)} */" for entry in (*kind.variables, *states)),
        "    V_COUNT",
        "};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def model_header(kind: DeviceKind, states: tuple[Variable, ...], token: str) -> str:
    """Return model.h, which says to the shell which kind it wraps."""
    name = kind.name
    lines = [
        f"/* Written by tools/build_fmus.py from the table of the kind {name}. */",
        "#ifndef MODEL_H",
        "#define MODEL_H",
        "",
        "#include <math.h>",
        "",
        f'#include "{name}_variables.h"',
        "",
        f'#define MODEL_NAME "{name}"',
        f'#define MODEL_TOKEN "{token}"',
        f"#define MODEL_PROBLEM {name}_problem",
        f"#define MODEL_START {name}_start",
        f"#define MODEL_STEP {name}_step",
        "",
        f"const char *{name}_problem(double *const *v, int i);",
        f"void {name}_start(double *const *v, int i);",
        f"void {name}_step(double *const *v, int i, double time_s, double dt_s);",
        "",
        "static const Variable MODEL_VARIABLES[V_COUNT] = {",
        *_rows(kind, states),
        "};",
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _rows(kind: DeviceKind, states: tuple[Variable, ...]) -> Iterator[str]:
    for entry, causality in (
        *((entry, entry.causality.value) for entry in kind.variables),
        *((entry, "local") for entry in states),
    ):
        numbers = ", ".join(_number(value) for value in (entry.start, entry.low, entry.high))
        yield f'    {{"{entry.name}", CAUSALITY_{causality.upper()}, {numbers}}},'


def _number(value: float) -> str:
    if np.isinf(value):
        return "HUGE_VAL" if value > 0 else "-HUGE_VAL"
    return repr(float(value))


def _comment(entry: Variable) -> str:
    return f"[{entry.unit}] {entry.text}".replace("*/", "* /")
