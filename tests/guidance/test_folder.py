"""Which model folders are read, from where, and what is said of those that cannot be."""

import shutil
from dataclasses import replace

import huggingface_hub
import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.teachers import ASK, PROMPT, edit_json, teacher_settings
from tests.helpers.tiny_pipeline import tiny_pipeline
from voxsds.guidance.load import load_teacher
from voxsds.guidance.sdxl.folder import PipelineFolder
from voxsds.guidance.sdxl.schedule import read_schedule

pytest_plugins = ["tests.helpers.pipelines"]
pytestmark = pytest.mark.usefixtures("one_thread")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def test_weights_in_shards_are_read_and_a_lost_shard_is_named(tmp_path, teacher, cache):
    made = tmp_path / "shards"
    tiny_pipeline().save_pretrained(made, max_shard_size="500KB")
    shards = sorted((made / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    loaded = load_teacher(teacher_settings(made), cache)
    torch.testing.assert_close(loaded.unet.state_dict(), teacher.unet.state_dict())
    shards[0].unlink()
    with pytest.raises(ValueError, match=f"missing: unet/{shards[0].name}.*git checkout"):
        load_teacher(teacher_settings(made), cache)


def test_a_missing_folder_is_said_with_the_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"no such file or folder.*git checkout"):
        load_teacher(teacher_settings(tmp_path / "nowhere"), tmp_path)


@pytest.mark.parametrize("hub", ["owner/name", "owner/name@main", "owner/name@0123abc"])
def test_a_hub_model_without_a_full_commit_is_refused(tmp_path, hub):
    with pytest.raises(ValueError, match="40 digits of a commit"):
        load_teacher(teacher_settings(hub, local_files_only=False), tmp_path)


def test_a_pinned_hub_model_is_read_from_the_hubs_cache(folder, tmp_path, monkeypatch, question):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    settings = teacher_settings(f"owner/name@{COMMIT}")
    with pytest.raises(ValueError, match="local_files_only: false"):
        load_teacher(settings, tmp_path)
    shutil.copytree(folder, tmp_path / "models--owner--name" / "snapshots" / COMMIT)
    loaded = load_teacher(settings, tmp_path)
    assert torch.equal(loaded.read(PROMPT, None).encoded.context, question.encoded.context)


def test_only_safetensors_of_the_wanted_variant_are_downloaded(folder, tmp_path, monkeypatch):
    asked = {}

    def download(repo, revision, allow_patterns, local_files_only):
        asked.update(repo=repo, revision=revision, patterns=allow_patterns, offline=local_files_only)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(ValueError, match=r"unet/diffusion_pytorch_model\.fp16\.safetensors"):
        PipelineFolder.open(f"owner/name@{COMMIT}", "fp16", True, False, False)
    wanted = huggingface_hub.utils.filter_repo_objects(
        [
            "model_index.json",
            "unet/config.json",
            "unet/diffusion_pytorch_model.safetensors",
            "unet/diffusion_pytorch_model.fp16.safetensors",
            "unet/diffusion_pytorch_model.fp16.bin",
            "unet/code.py",
            "vae/diffusion_pytorch_model.fp16.safetensors",
            "text_encoder/model.fp16.safetensors",
            "sd_xl_base_1.0.safetensors",
        ],
        allow_patterns=asked["patterns"],
    )
    assert list(wanted) == [
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "text_encoder/model.fp16.safetensors",
    ]
    assert (asked["repo"], asked["revision"], asked["offline"]) == ("owner/name", COMMIT, False)


@pytest.mark.parametrize(
    "file, changes, settings, message",
    [
        (
            "model_index.json",
            {"_class_name": "StableDiffusionPipeline"},
            {},
            "holds a StableDiffusionPipeline",
        ),
        ("vae/config.json", {"_class_name": "VQModel"}, {}, "holds a VQModel; one of AutoencoderKL, Auto"),
        ("unet/config.json", {"in_channels": 9}, {}, "takes 9 channels, the autoencoder makes 4"),
        ("unet/config.json", {"addition_embed_type": "text"}, {}, "not conditioned as SDXL"),
        ("scheduler/scheduler_config.json", {"prediction_type": "sample"}, {}, "'sample' is not supported"),
        ("model_index.json", {}, {"resolution": 30}, "resolution 30 is not a multiple of 4"),
    ],
)
def test_what_cannot_teach_is_refused_by_name(copy, cache, file, changes, settings, message):
    edit_json(copy / file, **changes)
    with pytest.raises(ValueError, match=message):
        load_teacher(teacher_settings(copy, **settings), cache)


def test_clamping_is_refused_where_nobody_measured_the_latents(folder, cache):
    with pytest.raises(ValueError, match="no latent_range.json.*set clamp: false"):
        load_teacher(teacher_settings(folder, clamp=True), cache)


def test_a_schedule_without_betas_is_refused(copy):
    (copy / "scheduler" / "scheduler_config.json").write_text('{"_class_name": "EDMEulerScheduler"}')
    with pytest.raises(ValueError, match="EDMEulerScheduler is not one of betas"):
        read_schedule(PipelineFolder(copy, str(copy), None))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"t_min": (0.5, 0.6)}, r"t_min \[0.5, 0.6\] and t_max"),
        ({"t_max": (1.2, 0.5)}, "t_max"),
        ({"t_min": None, "t_max": (0.55, 0.5)}, r"t_min \[0.6, 0.02\]"),
        ({"guidance_scale": -1.0}, "guidance_scale is -1.0"),
        ({"pixel_clip": 0.0}, "null switches it off"),
        ({"resolution": 0}, "resolution is 0"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(ASK, **changes)


@pytest.mark.parametrize(
    "shape, floor", [((32, 24, 32), (0.45, 0.02)), ((48, 63, 40), (0.45, 0.02)), ((64, 24, 8), (0.6, 0.02))]
)
def test_much_noise_is_asked_for_longer_in_large_worlds(shape, floor):
    ends = {"t_max": (0.98, 0.5)}
    assert replace(ASK, t_min=None, **ends).noise_levels(shape) == (floor, ends["t_max"])
    given = replace(ASK, t_min=(0.3, 0.1), **ends)
    assert given.noise_levels(shape) == ((0.3, 0.1), ends["t_max"])


def test_latent_range_and_words_are_read_from_the_folder(copy, cache):
    (copy / "latent_range.json").write_text('{"low": [-1, -2, -3, -4], "high": [1, 2, 3, 4]}')
    (copy / "words.txt").write_text("a\nstone\ntower\n")
    loaded = load_teacher(teacher_settings(copy, clamp=True), cache)
    assert loaded.latent_range is not None and loaded.latent_range.tolist()[1] == [-2, 2]
    assert loaded.vocabulary == {"a", "stone", "tower"}


def test_a_checkpoint_of_another_network_is_refused(folder, cache, tmp_path):
    save_file({"conv_in.weight": torch.zeros(3)}, tmp_path / "unet.safetensors")
    with pytest.raises(ValueError, match="does not fit the UNet"):
        load_teacher(teacher_settings(folder, unet=str(tmp_path / "unet.safetensors")), cache)


def test_a_variant_of_the_weights_is_read_by_its_name(tmp_path, question, cache):
    made = tmp_path / "model"
    tiny_pipeline().to(torch.float16).save_pretrained(made, variant="fp16")
    assert (made / "text_encoder_2" / "model.fp16.safetensors").is_file()
    loaded = load_teacher(teacher_settings(made, variant="fp16"), cache)
    assert loaded.unet.dtype == torch.float32
    context = loaded.read(PROMPT, None).encoded.context
    torch.testing.assert_close(context, question.encoded.context, rtol=0.01, atol=0.01)
    with pytest.raises(ValueError, match=r"missing: .*unet/diffusion_pytorch_model\.safetensors"):
        load_teacher(teacher_settings(made), cache)
