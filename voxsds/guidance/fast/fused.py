"""Diffusers' networks as they run fastest on CUDA: same numbers, fewer passes through memory."""

from functools import partial
from typing import Any

import torch
from diffusers.models.activations import GEGLU
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from jaxtyping import Float
from torch import Tensor, nn

from voxsds.guidance.fast.norm import GroupNormSilu, gated_gelu


def fuse(model: nn.Module) -> None:
    """Changes `model`, an SDXL UNet or AutoencoderKL on CUDA whose weights are loaded, for good.

    Every GroupNorm takes over the SiLU behind it (`norm.GroupNormSilu`), the UNet's feed-forward gates
    are one kernel, and the encoder's only attention, one head of 512 channels, goes through `WideHead`.
    Gradients reach inputs alone, and none pass through the gates.
    """
    for module in model.modules():
        part: Any = module  # diffusers declares its parts as what they are, not as what may take their place
        if isinstance(module, ResnetBlock2D) and isinstance(part.nonlinearity, nn.SiLU):
            _fuse_resnet(part)
        elif isinstance(module, Transformer2DModel) and isinstance(part.norm, nn.GroupNorm):
            part.norm = GroupNormSilu(part.norm, False)
        elif isinstance(module, GEGLU):
            part.forward = partial(_gate, part.proj)
        elif isinstance(module, Attention) and part.group_norm is not None and part.heads == 1:
            part.set_processor(WideHead(part.group_norm))
        elif isinstance(getattr(part, "conv_norm_out", None), nn.GroupNorm):
            part.conv_norm_out, part.conv_act = GroupNormSilu(part.conv_norm_out, True), nn.Identity()


def _fuse_resnet(block: Any) -> None:
    block.norm1, block.norm2 = GroupNormSilu(block.norm1, True), GroupNormSilu(block.norm2, True)
    block.nonlinearity = nn.Identity()
    if block.time_emb_proj is not None:  # it had the same SiLU before it
        block.time_emb_proj = nn.Sequential(nn.SiLU(), block.time_emb_proj)


def _gate(projection: nn.Linear, rows: Tensor) -> Tensor:
    return gated_gelu(projection(rows))


class WideHead:
    """Attention of an image's pixels to each other with one head: softmax(q k^T / sqrt(d)) v, and the image.

    In plain matrix products. Flash attention has no head of 512 channels, and what torch takes in its
    stead was half of the encoder's time at 1024 pixels. The table of weights is kept for the backward:
    0.5 GB in bfloat16 at 1024 pixels, 1/16 of that at 512.
    """

    def __init__(self, norm: nn.GroupNorm):
        self.norm = GroupNormSilu(norm, False)

    def __call__(
        self,
        attention: Any,  # whose projections these are
        hidden: Float[Tensor, "images channels height width"],
        encoder_hidden_states: None = None,  # these three are for UNets; an autoencoder passes None
        attention_mask: None = None,
        temb: None = None,
    ) -> Float[Tensor, "images channels height width"]:
        images, channels, height, width = hidden.shape
        rows = self.norm(hidden).permute(0, 2, 3, 1).reshape(images, height * width, channels)
        query, key, value = (layer(rows) for layer in (attention.to_q, attention.to_k, attention.to_v))
        weights = torch.bmm(query * channels**-0.5, key.mT).softmax(dim=-1)
        mixed = attention.to_out[0](torch.bmm(weights, value))
        return hidden + mixed.reshape(images, height, width, channels).permute(0, 3, 1, 2)
