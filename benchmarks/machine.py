"""What the figures of a benchmark were taken on and with."""

import contextlib
import os
import platform
import shutil
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch


def _versions(*packages: str) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _gpu() -> dict[str, Any]:
    """The current CUDA device, and what draws on it."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return {
        "gpu": properties.name,
        "gpus": torch.cuda.device_count(),
        "gpu_memory_gb": round(properties.total_memory / 2**30, 1),
        "cuda": torch.version.cuda,
        **_versions("triton", "nvdiffrast"),
    }


def machine() -> dict[str, Any]:
    """Processor, load, versions, commit and time, as they are now."""
    # "-dirty": the working tree differs from that commit
    describe = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    commit = subprocess.run(describe, capture_output=True, text=True) if shutil.which("git") else None
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        **_versions("torch", "numba", "numpy", "diffusers", "transformers"),
        **(_gpu() if torch.cuda.is_available() else {}),
        "commit": (commit.stdout.strip() if commit else "") or None,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }
