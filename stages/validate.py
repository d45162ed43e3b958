"""Stage validate: is the exported world what the sentence says? Figures, pictures and a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from stages.running import run_stage
from voxsds.blocks.limits import EditSettings, limits_of
from voxsds.files.disk import read_image, read_json, write_json
from voxsds.files.expect import as_record
from voxsds.files.outputs import Outputs
from voxsds.files.params import read_section
from voxsds.gradcheck.gate import GradcheckSettings, gradient_test
from voxsds.grid.file import read_grid
from voxsds.report.gather import provenance, read_history, read_test_images
from voxsds.report.page import Page, write_report
from voxsds.validate.checks import failed
from voxsds.validate.evaluator import Evaluator, distractor_captions
from voxsds.validate.photographs import Photograph, chosen_views
from voxsds.validate.run import Facts, GradientTest, Run
from voxsds.validate.validation import validate
from voxsds.validate.views import ValidateSettings
from voxsds.world.datasets import Dataset, read_dataset
from voxsds.world.maps import read_map
from voxsds.world.palette import read_palette
from voxsds.world.poses import PoseLaw
from voxsds.world.snapshots import read_blocks, read_worlds

OUT = Outputs()


def main(params: dict[str, Any]) -> None:
    """Figures, pictures and a page about the exported world."""
    logging.disable_progress_bar()
    settings = read_section(params, "validate", ValidateSettings)
    law = read_section(params, "poses", PoseLaw)
    log = read_json(OUT.gradcheck_log(params["map_id"]))
    run = load_run(params, log["gradient_test"])
    evaluator = Evaluator.load(Path(settings.evaluator))
    distractors = distractor_captions(run.prompt, settings.distractors, settings.distractor_seed)
    validation = validate(run, evaluator, distractors, law, settings)
    maps = [Path(f"maps/{params['map_id']}/{name}.json") for name in ("map", "map_optimized")]
    page = Page(
        subtitle="map {map_id}, teacher {guidance}, lr {lr}, seed {seed}".format(**params),
        run=run,
        validation=validation,
        captions=1 + settings.distractors,
        history=read_history(OUT.curves),
        worlds=read_worlds(OUT.worlds),
        gradient_errors=log["errors"],
        provenance=provenance([*maps, OUT.model, Path(settings.evaluator)]),
        settings=params,
    )
    write_report(OUT.report, page)
    print(*validation.criteria, *failed(validation.failures), sep="\n")


def load_run(params: dict[str, Any], gradients: dict[str, Any]) -> Run:
    """Everything that the earlier stages left, and the gradient test on the trained grid."""
    world, dataset = Path(f"maps/{params['map_id']}"), read_dataset(f"datasets/{params['map_id']}")
    palette, trained = read_palette(params["palette"]), read_grid(OUT.model)
    before = read_map(world / "map.json", palette)
    gradcheck = read_section(params, "gradcheck", GradcheckSettings)
    view = dataset.cameras[gradcheck.view]
    test = gradient_test(trained.grid, trained.palette, trained.frame, view, gradcheck)
    write_json(OUT.final_gradient_test, {"gradient_test": test})
    return Run(
        prompt=params["prompt"],
        before=before,
        after=read_map(world / "map_optimized.json", palette),
        trained=trained,
        dataset=dataset.cameras,
        test_images=read_test_images(OUT.test_images),
        gradients_before=as_record(gradients, GradientTest, str(OUT.gradcheck_log(params["map_id"]))),
        gradients_after=as_record(test, GradientTest, str(OUT.final_gradient_test)),
        facts=as_record(read_json(OUT.train_metrics), Facts, str(OUT.train_metrics)),
        photographs=photographs(dataset),
        limits=limits_of(read_section(params, "edit", EditSettings), before.blocks, before.palette),
        untidied=read_blocks(OUT.untidied, "export"),
        export_counts=read_json(OUT.export_counts),
    )


def photographs(dataset: Dataset) -> Sequence[Photograph]:
    """Images of the dataset that are there, evenly over its views."""
    there = [(c, p) for c, p in zip(dataset.cameras, dataset.image_paths, strict=True) if p and p.is_file()]
    return [
        Photograph(camera, torch.from_numpy(read_image(path)).permute(2, 0, 1))
        for camera, path in (there[i] for i in chosen_views(len(there)))
    ]


if __name__ == "__main__":
    run_stage("validate", main)
