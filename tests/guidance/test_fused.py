"""What SDXL's networks run on CUDA, against torch and diffusers; elsewhere in Triton's interpreter."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.helpers.backends import ON_GPU, needs_triton
from tests.helpers.tiny_pipeline import tiny_unet, tiny_vae
from voxsds.guidance.fast.fused import WideHead, fuse
from voxsds.guidance.fast.norm import GroupNormSilu, gated_gelu

pytestmark = needs_triton


@pytest.fixture(autouse=True)
def full_precision(monkeypatch):
    """Without it a card rounds the factors of float32 convolutions to TF32, 5e-4 of a result."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


def relative(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


def random_norm(groups: int, channels: int) -> nn.GroupNorm:
    norm = nn.GroupNorm(groups, channels, eps=1e-5, device=ON_GPU).requires_grad_(False)
    nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    return norm


# Pixels that fill no tile, channels that are no power of two, groups of one and of all channels.
@pytest.mark.parametrize("shape, groups", [((2, 8, 5, 7), 4), ((1, 24, 9, 6), 8), ((2, 6, 3, 3), 6)])
@pytest.mark.parametrize("silu", [True, False])
def test_normalisation_and_its_gradient_are_torchs(shape, groups, silu):
    torch.manual_seed(0)
    norm = random_norm(groups, shape[1])
    x = (3 * torch.randn(shape, device=ON_GPU) + 1).requires_grad_()
    cotangent = torch.randn(shape, device=ON_GPU)
    expected = F.silu(norm(x)) if silu else norm(x)
    (slope,) = torch.autograd.grad(expected, x, cotangent)
    made = GroupNormSilu(norm, silu)(x)
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert relative(made, expected) < 2e-6  # worst seen 4e-7
    assert relative(torch.autograd.grad(made, x, cotangent)[0], slope) < 5e-6  # worst seen 9e-7


def test_a_mean_far_over_the_deviation_costs_no_digits():
    torch.manual_seed(0)
    norm, x = random_norm(2, 8), 1000 + torch.randn(1, 8, 40, 40, device=ON_GPU)
    exact = norm.double()(x.double())
    assert relative(GroupNormSilu(norm.float(), False)(x), exact) < 1e-4  # sums of squares would have 6e-2


@pytest.mark.parametrize("channels", [10, 1500])
def test_a_gate_is_half_a_row_times_the_gelu_of_the_other(channels):
    both = torch.randn(2, 3, 2 * channels, device=ON_GPU)
    h, g = both.chunk(2, dim=-1)
    torch.testing.assert_close(gated_gelu(both), h * F.gelu(g), rtol=1e-5, atol=1e-6)


def test_a_fused_autoencoder_encodes_decodes_and_sends_back_the_same():
    torch.manual_seed(0)
    plain = tiny_vae((8, 16, 16), 0.7).eval().requires_grad_(False).to(ON_GPU)
    fused = copy.deepcopy(plain)
    fuse(fused)
    assert isinstance(fused.encoder.mid_block.attentions[0].processor, WideHead)
    assert not any(isinstance(m, nn.SiLU) for m in fused.encoder.modules())
    images = torch.rand(1, 3, 16, 16, device=ON_GPU).requires_grad_()
    latents = [model.encode(images).latent_dist.mean for model in (plain, fused)]
    cotangent = torch.randn_like(latents[0])
    slopes = [torch.autograd.grad(z, images, cotangent)[0] for z in latents]
    assert relative(latents[1], latents[0]) < 1e-5 and relative(slopes[1], slopes[0]) < 1e-5
    with torch.no_grad():
        pictures = [model.decode(latents[0]).sample for model in (plain, fused)]
    assert relative(pictures[1], pictures[0]) < 1e-5


def test_a_fused_unet_predicts_the_same():
    torch.manual_seed(0)
    plain = tiny_unet((16, 16, 32), context=64, pooled=24, sample_size=8).eval().to(ON_GPU)
    fused = copy.deepcopy(plain)
    fuse(fused)
    added = {"text_embeds": torch.randn(2, 24, device=ON_GPU), "time_ids": torch.rand(2, 6, device=ON_GPU)}
    context, noisy = torch.randn(2, 16, 64, device=ON_GPU), torch.randn(2, 4, 4, 4, device=ON_GPU)
    with torch.no_grad():
        expected, made = (
            unet(noisy, torch.tensor([3, 500], device=ON_GPU), context, added_cond_kwargs=added).sample
            for unet in (plain, fused)
        )
    assert relative(made, expected) < 1e-5  # worst seen 1e-6
