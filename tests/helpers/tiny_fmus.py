"""Small FMUs that tests compile for this machine: a few lines of C each, with any fault a test needs.

The C text of a hook names the variables as they are (``mass.m`` is ``mass_m``), is run for device ``i`` of an array
FMU, and knows ``m`` (the model: ``m->s.memory[4]`` is saved with the state, ``m->event``, ``m->terminate``,
``m->early``, ``m->last_time``, ``m->next_event_defined``, ``m->next_event``, ``m->no_set_state``), ``time``, ``dt`` and
``say(m, ERROR, "category", "text %d", 1)``. ``return ERROR;`` (``WARNING``, ``DISCARD``, ``FATAL``) is the status.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import tiny_fmus_xml
from tiny_fmus_xml import GUID, Var, here

__all__ = ["GUID", "Var", "build_fmu", "compiler", "here"]

C_FOLDER = Path(__file__).parent / "tiny_fmus_c"
N_MAX = 2048
"""Most devices of an array FMU."""
RESERVED = frozenset(
    ["m", "i", "s", "v", "z", "dt", "time", "size", "steps", "memory", "text", "event", "terminate", "early"]
)
INTEGRATOR = "y += k * u * dt;"


@dataclass(frozen=True, kw_only=True)
class Code:
    """The hooks in C."""

    step: str
    init: str = ""
    instantiate: str = ""
    derivatives: str = ""
    indicators: str = ""
    event: str = ""
    extra: str = ""
    omit: tuple[str, ...] = field(default=())


def build_fmu(
    folder: Path,
    *,
    name: str = "tiny",
    fmi: str = "2.0",
    inputs: Sequence[str | Var] = ("u",),
    outputs: Sequence[str | Var] = ("y",),
    parameters: Mapping[str, float] | None = None,
    variables: Sequence[Var] = (),
    states: Mapping[str, float] | None = None,
    step_code: str | None = None,
    init_code: str = "",
    instantiate_code: str = "",
    derivative_code: str = "",
    indicator_code: str = "",
    n_indicators: int = 0,
    event_code: str = "",
    extra_code: str = "",
    omit: Sequence[str] = (),
    capabilities: Mapping[str, str] | None = None,
    interfaces: Sequence[str] = ("CoSimulation",),
    array: bool = False,
    nominal: float = 1.0,
    platform: str | None = None,
    experiment: Mapping[str, str] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
) -> Path:
    """Build ``folder/name.fmu`` and return its path.

    Without ``step_code`` it is an integrator, ``y += k * u * dt`` with the parameter ``k = 1``; with ``states`` it is
    explicit Euler at the communication step. ``states`` maps names to start values: each has the variable
    ``der_<name>`` that ``derivative_code`` sets from states, inputs and ``time`` (and the outputs with them), and
    ``indicator_code`` sets ``z[0]``, ``z[1]`` ... ``capabilities`` are attributes of the interface elements (state,
    serialised state and variable steps are claimed unless they say ``"false"``), ``omit`` functions that the binary
    lacks, ``platform`` another folder than this machine's. ``array`` (FMI 3.0) gives every variable the size of the
    structural parameter ``n``. ``variables`` are further variables of any kind.
    """
    known = {"k": 1.0} if parameters is None and step_code is None and not states else (parameters or {})
    states = states or {}
    listed = [
        *(entry if isinstance(entry, Var) else Var(entry, "input", start=0.0) for entry in inputs),
        *(entry if isinstance(entry, Var) else Var(entry, "output") for entry in outputs),
        *(Var(key, "parameter", start=value) for key, value in known.items()),
        *variables,
        *(Var(key, "local", start=value, initial="exact") for key, value in states.items()),
        *(Var(f"der_{key}", "local", derivative_of=key) for key in states),
    ]
    if array:
        listed.append(Var("n", "structuralParameter", type="UInt64", start=1, variability="fixed"))
    euler = " ".join(f"{here(key)} += dt * der_{here(key)};" for key in states)
    default = f"on_derivatives(m, i); {euler}" if states else INTEGRATOR
    code = Code(
        step=default if step_code is None else step_code,
        init=init_code,
        instantiate=instantiate_code,
        derivatives=derivative_code,
        indicators=indicator_code,
        event=event_code,
        extra=extra_code,
        omit=tuple(omit),
    )
    state = "State" if fmi == "3.0" else "state"
    able = (f"canGetAndSetFMU{state}", f"canSerializeFMU{state}", "canHandleVariableCommunicationStepSize")
    abilities = {**dict.fromkeys(able, "true"), **(capabilities or {})}
    text = tiny_fmus_xml.description(
        name,
        fmi=fmi,
        variables=listed,
        interfaces=interfaces,
        capabilities=abilities,
        n_indicators=n_indicators,
        experiment=experiment or {},
        array=array,
    )
    once = abilities.get("canBeInstantiatedOnlyOncePerProcess") == "true"
    sizes = {
        "NV": len(listed),
        "N_MAX": N_MAX if array else 1,
        "NS": len(states),
        "NZ": n_indicators,
        "ONCE": int(once),
        "SIZE_VR": len(listed) - 1 if array else -1,
        "NOMINAL": nominal,
    }
    library = _compiled(_c_text(listed, code=code, sizes=sizes, states=tuple(states), fmi=fmi), code.omit)
    shelf, suffix = _platform(fmi)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.fmu"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("modelDescription.xml", text)
        archive.writestr(f"binaries/{platform or shelf}/{name}{suffix}", library)
        for entry, content in (extra_files or {}).items():
            archive.writestr(entry, content)
    return file


def compiler() -> list[str]:
    """Return the command of a C compiler: the system's, else that of the package ``ziglang``."""
    found = shutil.which("cc") or shutil.which("gcc")
    return [found] if found else [sys.executable, "-m", "ziglang", "cc"]


def _platform(fmi: str) -> tuple[str, str]:
    system = {"linux": "linux", "darwin": "darwin", "win32": "windows"}[sys.platform]
    suffix = {"linux": ".so", "darwin": ".dylib", "windows": ".dll"}[system]
    if fmi == "3.0":
        return f"x86_64-{system}", suffix
    return {"linux": "linux64", "darwin": "darwin64", "windows": "win64"}[system], suffix


def _c_text(
    variables: Sequence[Var], *, code: Code, sizes: Mapping[str, float], states: Sequence[str], fmi: str
) -> str:
    order = [entry.name for entry in variables]
    taken = sorted(RESERVED.intersection(map(here, order)))
    if taken:
        raise ValueError(f"names that the C text of a test FMU needs itself: {', '.join(taken)}")

    def table(kind: str, name: str, values: Sequence[float | int]) -> str:
        return f"static const {kind} {name}[] = {{{', '.join(repr(value) for value in values) or '0'}}};"

    starts = [float(entry.start) if isinstance(entry.start, (int, float)) else 0.0 for entry in variables]
    accesses = [
        f"#define {here(entry.name)} (m->s.v[{k}][{'0' if entry.causality == 'structuralParameter' else 'i'}])"
        for k, entry in enumerate(variables)
        if entry.name != "n"
    ]
    return "\n".join(
        [
            *(f"#define {key} {value}" for key, value in sizes.items()),
            f'#define TOKEN "{GUID}"',
            table("double", "STARTS", starts),
            table("int", "SETTABLE", [int(entry.can_be_set) for entry in variables]),
            table("int", "SCALAR", [int(entry.causality == "structuralParameter") for entry in variables]),
            table("int", "STATES", [order.index(key) for key in states]),
            table("int", "DERIVATIVES", [order.index(f"der_{key}") for key in states]),
            f'#include "fmi{fmi[0]}.c"',
            *accesses,
            code.extra,
            f"static int on_instantiate(Model *m) {{ int i = 0; {code.instantiate} return OK; }}",
            f"static int on_init(Model *m, int i) {{ {code.init} return OK; }}",
            f"static int on_step(Model *m, int i, double time, double dt) {{ {code.step} return OK; }}",
            f"static void on_derivatives(Model *m, int i) {{ double time = m->s.time; {code.derivatives} }}",
            f"static void on_indicators(Model *m, int i, double *z) {{ double time = m->s.time; {code.indicators} }}",
            f"static void on_event(Model *m, int i) {{ double time = m->s.time; {code.event} }}",
            "",
        ]
    )


@cache  # of the session: many tests build the same one
def _compiled(text: str, omitted: tuple[str, ...]) -> bytes:
    with tempfile.TemporaryDirectory(prefix="tiny-fmu-") as place:
        source, library = Path(place) / "tiny.c", Path(place) / "tiny.so"
        source.write_text(text, encoding="utf-8")
        command = [
            *compiler(),
            "-shared",
            *([] if sys.platform == "win32" else ["-fPIC"]),
            "-O1",
            "-w",
            "-ffp-contract=off",
            "-fno-sanitize=undefined",  # zig would turn every fault into SIGILL
            f"-I{C_FOLDER}",
            *(f"-D{name}=static_{name}" for name in omitted),
            "-o",
            str(library),
            str(source),
            *([] if sys.platform == "win32" else ["-lm"]),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ValueError(f"the C text of a test FMU does not compile:\n{done.stderr}")
        return library.read_bytes()
