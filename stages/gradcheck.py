"""Stage gradcheck: stops the pipeline unless the right gradients reach the blocks of the map."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from stages.running import run_stage
from voxsds.files.disk import write_json
from voxsds.files.outputs import Outputs
from voxsds.files.params import read_section
from voxsds.gradcheck.gate import GradcheckSettings, gate_verdict, gradcheck
from voxsds.world.datasets import read_dataset
from voxsds.world.maps import read_map
from voxsds.world.palette import read_palette


def main(params: dict[str, Any]) -> None:
    """Compares gradients with differences on one view, and the renderers with each other."""
    out = Outputs()
    settings = read_section(params, "gradcheck", GradcheckSettings)
    dataset = params["map_id"]
    world = read_map(Path(f"maps/{dataset}/map.json"), read_palette(params["palette"]))
    cameras = read_dataset(Path(f"datasets/{dataset}")).cameras
    if not 0 <= settings.view < len(cameras):
        raise ValueError(
            f"gradcheck.view is {settings.view}; datasets/{dataset} has views 0 to {len(cameras) - 1}"
        )
    report = gradcheck(world, cameras[settings.view], settings, params["seed"])
    log = {
        "dataset_id": str(dataset),
        "view_index": settings.view,
        "gradient_test": {**report.gradient_test, "ok": report.ok},
        "errors": report.errors,
        "backends": {
            name: {scene: asdict(found) for scene, found in by_scene.items()}
            for name, by_scene in report.backends.items()
        },
    }
    write_json(out.gradcheck_log(dataset), log)
    write_json(out.gate, gate_verdict(report, settings))
    if not report.ok:
        raise ValueError("the gate is shut\n  " + "\n  ".join(report.failures))
    norms = report.gradient_test["gradient_norm_l2"], report.gradient_test["occupancy"]["gradient_norm_l2"]
    print("gradcheck: ok, gradient norms {:.3g} (materials) and {:.3g} (occupancy)".format(*norms))


if __name__ == "__main__":
    run_stage("gradcheck", main)
