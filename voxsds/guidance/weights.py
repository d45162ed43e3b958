"""Weights read from files into networks: all of them, and no others."""

from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

Model = TypeVar("Model", bound=torch.nn.Module)
NAMED = 3  # weights that an error names, of each kind


def load_model(kind: Any, path: Path, variant: str | None, dtype: torch.dtype) -> Any:
    """The diffusers model of class `kind` in the folder `path`; no pickles, no network.

    ValueError where the files hold too little, too much, or weights of another shape: diffusers alone
    would fill up what is missing with random numbers.
    """
    try:
        model, found = kind.from_pretrained(
            path,
            variant=variant,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=find_spec("accelerate") is not None,  # no second copy where that can be had
            torch_dtype=dtype,
            output_loading_info=True,
        )
    except RuntimeError as error:  # of a shape; its message names them
        raise ValueError(f"the weights in {path} do not fit its config.json: {error}") from error
    require_all(path, missing=found["missing_keys"], unexpected=found["unexpected_keys"])
    return model


def require_all(path: Path, missing: Iterable[str], unexpected: Iterable[str] = ()) -> None:
    """ValueError that names the weights which the files of a model's folder lack, or have too much."""
    wrong = _described({"missing": sorted(missing), "unexpected": sorted(unexpected)})
    if wrong:
        raise ValueError(
            f"the weights in {path} do not fit its config.json: {wrong}. Get the folder again, whole"
        )


def require_fit(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], file: Path, network: str
) -> None:
    """ValueError that says what is missing in `file`, what is too much, and what has another shape."""
    shapes = [
        f"{name} {tuple(found[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in sorted(found.keys() & expected.keys())
        if found[name].shape != expected[name].shape
    ]
    wrong = _described(
        {
            "missing": sorted(expected.keys() - found.keys()),
            "unexpected": sorted(found.keys() - expected.keys()),
            "of another shape": shapes,
        }
    )
    if wrong:
        raise ValueError(f"{file} does not fit {network}: {wrong}")


def _described(kinds: Mapping[str, Sequence[str]]) -> str:
    """For example "weights: 2 missing (a, b); 9 unexpected (c, d, e, ...)"; empty where all is well."""
    parts = []
    for kind, names in kinds.items():
        if names:
            shown = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
            parts.append(f"{len(names)} {kind} ({shown})")
    return "weights: " + "; ".join(parts) if parts else ""


def frozen(model: Model, device: str) -> Model:
    """`model` on `device`, only to be asked; channels_last, in which convolutions are faster."""
    model.requires_grad_(False).eval()
    model.to(device)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    return model
