"""Stage validate: is the exported world what the sentence says? Figures, pictures and a page."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging

from voxsds.blocks.limits import EditSettings, limits_of
from voxsds.files.disk import read_image, read_json, write_json
from voxsds.files.expect import as_record
from voxsds.files.params import read_params, read_section
from voxsds.gradcheck.gate import GradcheckSettings, gradient_test
from voxsds.grid.file import read_grid
from voxsds.report.gather import provenance, read_history, read_test_images
from voxsds.report.page import Page, write_report
from voxsds.train.views import CameraSettings
from voxsds.validate.checks import failed
from voxsds.validate.evaluator import Evaluator, distractor_captions
from voxsds.validate.photographs import Photograph, chosen_views
from voxsds.validate.run import Facts, GradientTest, Run
from voxsds.validate.validation import validate
from voxsds.validate.views import ValidateSettings
from voxsds.world.datasets import Dataset, read_dataset
from voxsds.world.maps import read_map
from voxsds.world.snapshots import read_blocks, read_worlds

OUT = Path("out_local")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    params = read_params(parser.parse_args().params)
    logging.disable_progress_bar()
    settings = read_section(params, "validate", ValidateSettings)
    law = read_section(params, "cameras", CameraSettings).law
    log = read_json(OUT / "nv_diff_logs" / f"dataset_{params['map_id']}_diff_log.json")
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
        history=read_history(OUT / "logs" / "train.tsv"),
        worlds=read_worlds(OUT / "logs" / "worlds"),
        gradient_errors=log["errors"],
        provenance=provenance([*maps, OUT / "model", Path(settings.evaluator)]),
        settings=params,
    )
    write_report(OUT / "report", page)
    print(*validation.criteria, *failed(validation.failures), sep="\n")


def load_run(params: dict[str, Any], gradients: dict[str, Any]) -> Run:
    """All that the earlier stages left, and the gradient test on the trained grid."""
    world, dataset = Path(f"maps/{params['map_id']}"), read_dataset(f"datasets/{params['map_id']}")
    before, trained = read_map(world / "map.json"), read_grid(OUT / "model")
    gradcheck = read_section(params, "gradcheck", GradcheckSettings)
    view = dataset.cameras[gradcheck.view]
    test = gradient_test(trained.grid, trained.palette, trained.frame, view, gradcheck)
    write_json(OUT / "nv_diff_logs" / "final_gradient_test.json", {"gradient_test": test})
    facts = OUT / "logs" / "metrics.json"
    return Run(
        prompt=params["prompt"],
        before=before,
        after=read_map(world / "map_optimized.json"),
        trained=trained,
        dataset=dataset.cameras,
        test_images=read_test_images(OUT / "test_imgs"),
        gradients_before=as_record(gradients, GradientTest, "gradient_test of gradcheck"),
        gradients_after=as_record(test, GradientTest, "gradient_test of the trained grid"),
        facts=as_record(read_json(facts), Facts, str(facts)),
        photographs=photographs(dataset),
        limits=limits_of(read_section(params, "edit", EditSettings), before.blocks, before.palette),
        untidied=read_blocks(OUT / "export" / "untidied.npz", "export"),
        export_counts=read_json(OUT / "export" / "export.json"),
    )


def photographs(dataset: Dataset) -> Sequence[Photograph]:
    """Images of the dataset that are there, evenly over its views."""
    there = [(c, p) for c, p in zip(dataset.cameras, dataset.image_paths, strict=True) if p and p.is_file()]
    return [
        Photograph(camera, torch.from_numpy(read_image(path)).permute(2, 0, 1))
        for camera, path in (there[i] for i in chosen_views(len(there)))
    ]


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"validate: {error}")
