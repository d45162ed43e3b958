"""The commands that README and docs show, and how a test runs each of them."""

import ast
import re
import shlex
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# In an order in which they can be typed; pages that come later are found by themselves.
FIRST = [
    "docs/first-run.md",
    "README.md",
    "docs/your-own-build.md",
    "docs/sweeps.md",
    "docs/troubleshooting.md",
]
FOUND = sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))
PAGES = [*FIRST, *(page for page in FOUND if page not in FIRST), "CONTRIBUTING.md"]

OTHERS = "srun|torchrun|accelerate|git clone|sudo|apt-get|pip|hf|nvidia-smi|ffmpeg"
# What cannot be run as it stands, what is run in its place, and why.
INSTEAD = (
    (r"make (test|test-browser|check|bench|viewer|format)", r"make --dry-run \1", "minutes, other tools"),
    (r"make watch|voxsds watch", "voxsds watch --help", "does not end"),
    (r"(?:CUDA_VISIBLE_DEVICES=\d )?dvc queue start.*", "dvc queue start --help", "goes on for minutes"),
    (r"dvc exp run(.*guidance=sdxl.*)", r"dvc exp run --queue\1", "a GPU and a download"),
    (r"voxsds doctor (.*)--online", r"voxsds doctor \1", "the Hub"),
    (r"python -m (benchmarks\.\w+|stages\.train --params /dev).*", "", "minutes, or a GPU; see `scripts`"),
    (rf"(\w+=\S+ )*({OTHERS})\b.*", "", "the network, a GPU, or another program"),
)  # fmt: skip


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def fenced(page: str, language: str) -> list[str]:
    """The code blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", read(page), flags=re.MULTILINE | re.DOTALL)


def commands(page: str) -> list[str]:
    """The lines of its `bash` blocks, continued ones joined, without comments."""
    text = "".join(fenced(page, "bash")).replace("\\\n", " ")
    lines = (re.sub(r"(^|\s)# .*$", "", line).strip() for line in text.splitlines())
    return [line for line in lines if line]


def stand_in(command: str) -> str | None:
    """What a test runs for `command`; None for what it can only parse."""
    for pattern, replacement, _ in INSTEAD:
        if match := re.fullmatch(pattern, command):
            return match.expand(replacement) or None
    return command


def scripts() -> list[tuple[str, list[str]]]:
    """The Python scripts that no test runs as the pages show them: each module, and the flags given to it."""
    shown = dict.fromkeys(command for page in PAGES for command in commands(page))
    words = [shlex.split(command) for command in shown if stand_in(command) is None]
    return [
        (given[2], [word for word in given if word.startswith("--")])
        for given in words
        if given[:2] == ["python", "-m"]
    ]


@cache
def messages() -> tuple[str, ...]:
    """Every text of the code, with … in place of what is filled in."""
    sources = [p for folder in ("voxsds", "stages") for p in sorted((ROOT / folder).rglob("*.py"))]
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_text())))
    return tuple(text for node in nodes if (text := _text(node)))


def _text(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(_text(part) if isinstance(part, ast.Constant) else "…" for part in parts)
    return ""


def is_said(quoted: str) -> bool:
    """Whether the code can say `quoted`, in which … stands for anything."""
    wanted = ".*".join(map(re.escape, quoted.split("…")))
    return any(re.search(wanted, message, flags=re.DOTALL) for message in messages())
