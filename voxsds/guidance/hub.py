"""Files of models: where they come from, a local path or one commit on the Hub, and how large they are.

Nothing is downloaded to say how large: sizes come from the headers of the files, or of those that are not
here from the Hub, if it may be asked.
"""

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from huggingface_hub.utils import filter_repo_objects

PINNED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(/(?P<file>[^@]+))?@(?P<commit>[0-9a-f]{40})")
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Source:
    """A file or folder that a teacher is put together from."""

    role: str  # the key that names it in params.yaml
    name: str  # as it stands there
    problem: str | None  # why it cannot be used as it is; None: it is here and whole
    download: int | None  # bytes to get from the Hub; None where it is here or was not asked for


def is_pinned(source: str) -> bool:
    """Whether `source` names a commit on the Hub, in full."""
    return PINNED.fullmatch(source) is not None


def locate(source: str, patterns: Sequence[str], local_files_only: bool) -> Path:
    """The local path of `source`, downloaded if it must be; of a Hub folder only files like `patterns`.

    ValueError where it is neither a path that exists nor pinned, or cannot be had.
    """
    if Path(source).exists():
        return Path(source)
    match = PINNED.fullmatch(source)
    if match is None:
        raise ValueError(
            f"{source}: no such file or folder, and not a pinned model on the Hub, which is written "
            "owner/name@<commit> with the 40 digits of a commit (a branch or tag may change under a run). "
            "A folder of this repository comes back with `git checkout -- <folder>`."
        )
    repo, file, commit = match["repo"], match["file"], match["commit"]
    try:
        if file:
            return Path(
                huggingface_hub.hf_hub_download(
                    repo, file, revision=commit, local_files_only=local_files_only
                )
            )
        folder = huggingface_hub.snapshot_download(
            repo, revision=commit, allow_patterns=list(patterns), local_files_only=local_files_only
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        remedy = "set local_files_only: false to download it" if local_files_only else "is the network there?"
        raise ValueError(
            f"{source}: could not be read from the Hub or its cache ({error}); {remedy}"
        ) from error
    return Path(folder)


def looked_up(
    role: str,
    name: str,
    find: Callable[[], object],  # ValueError where what `name` names is not here, whole
    patterns: Sequence[str],  # the files of it that are read; of a single file, none
    local_files_only: bool,
    ask_hub: bool,
) -> Source:
    """Whether a source is here, and if not what to do about it; `ask_hub` asks the Hub how large it is."""
    try:
        find()
        return Source(role, name, None, None)
    except ValueError as error:
        if not is_pinned(name):
            return Source(role, name, str(error), None)
    remedy = "the first run downloads it"
    if local_files_only:
        remedy = f"set local_files_only: false, and {remedy}"
    problem = f"not in the Hub's cache on this machine; {remedy}"
    if not ask_hub:
        return Source(role, name, problem, None)
    try:
        return Source(role, name, problem, download_size(name, patterns))
    except Exception as error:  # networks fail in more ways than the Hub's library has names for
        return Source(role, name, f"{problem}. The Hub could not be asked for its size ({error})", None)


def download_size(source: str, patterns: Sequence[str]) -> int:
    """Bytes of the files of a pinned source on the Hub, which is asked; its errors pass through."""
    match = PINNED.fullmatch(source)
    assert match is not None
    info = huggingface_hub.HfApi().model_info(
        match["repo"], revision=match["commit"], files_metadata=True, timeout=20
    )
    wanted = [match["file"]] if match["file"] else list(patterns)
    files = filter_repo_objects(info.siblings or [], allow_patterns=wanted, key=lambda file: file.rfilename)
    return sum(file.size or 0 for file in files)


def parameters(files: Sequence[Path]) -> int:
    """Count of the numbers in .safetensors files; only their headers are read."""
    return sum(math.prod(shape) for file in files for shape in _shapes(file))


def _shapes(file: Path) -> list[list[int]]:
    """The header is its length, 8 bytes, and then JSON."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(min(length, 100 << 20)))
    return [tensor["shape"] for name, tensor in header.items() if name != "__metadata__"]
