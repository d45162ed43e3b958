"""LoRA files added to a network's weights: low-rank changes, merged once, so that they cost nothing later.

The names are those of Kohya's trainer with diffusers' names of the modules:
`lora_unet_<module>.lora_down.weight`, `.lora_up.weight` and `.alpha`, dots of the module as underscores.
Those that diffusers and PEFT write, `unet.<module>.lora_A.weight` or `.lora.down.weight`, mean the same, and
so do diffusers' oldest, `<attention>.processor.to_q_lora.down.weight`.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor, nn

PREFIX, PARTS = "lora_unet_", ("lora_down.weight", "lora_up.weight")
# diffusers' names: with its prefix or that of PEFT, which it may leave out, then those of a half of a pair.
_DOTTED = re.compile(
    r"(?:unet\.|base_model\.model\.)?(?P<module>(?!lora_).+)\."
    r"(?:(?P<down>lora_A|lora\.down)|lora_B|lora\.up)\.weight"
)
_OLDEST = re.compile(r"processor\.(to_[qkv]|to_out\.0)_lora\.")  # for "to_q.lora."


def lora_change(
    down: Float[Tensor, "rank inputs *kernel"], up: Float[Tensor, "outputs rank *ones"], alpha: float
) -> Float[Tensor, "outputs inputs *kernel"]:
    """(alpha / rank) up down (arXiv 2106.09685, section 4.1), of a convolution: up is one of 1 x 1.

    Rank 1, alpha 2, down (3) and up (5): 30.
    """
    rank = len(down)
    change = up.float().reshape(len(up), rank) @ down.float().reshape(rank, -1)
    return (alpha / rank * change).reshape(len(up), *down.shape[1:])


def kohya_name(name: str) -> str:
    """A name in Kohya's format: "lora_unet_a_b.lora_down.weight" for "unet.a.b.lora_A.weight"."""
    dotted = _OLDEST.sub(r"\1.lora.", name.replace("to_out_lora", "to_out.0_lora"))
    if (parts := _DOTTED.fullmatch(dotted)) is None:
        return name
    return f"{PREFIX}{parts['module'].replace('.', '_')}.{PARTS[0] if parts['down'] else PARTS[1]}"


@torch.no_grad()
def add_lora(network: nn.Module, file: Path) -> None:
    """Adds the changes of `file` to the weights of `network`; an absent alpha is the rank.

    ValueError, and nothing is changed, where a name is not that of a linear or convolution of the
    network, a half of a pair is missing, or a shape does not fit.
    """
    stored = {kohya_name(name): tensor for name, tensor in load_file(file).items()}
    layers = {
        PREFIX + name.replace(".", "_"): module
        for name, module in network.named_modules()
        if isinstance(module, (nn.Linear, nn.Conv2d))
    }
    pairs = {name.split(".", 1)[0] for name in stored}
    if wrong := [message for name in sorted(pairs) if (message := _misfit(name, stored, layers))]:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ValueError(
            f"{file} is no LoRA for this UNet ({len(wrong)} of {len(pairs)} modules do not fit): "
            f"{'; '.join(wrong[:3])}{more}. Take one for SDXL in the format of Kohya's trainer or of PEFT, "
            "with diffusers' names of the layers"
        )
    for name in pairs:
        weight = layers[name].weight
        down = stored[f"{name}.lora_down.weight"].to(weight.device)
        alpha = float(stored.get(f"{name}.alpha", len(down)))
        up = stored[f"{name}.lora_up.weight"].to(weight.device)
        weight.copy_(weight.float() + lora_change(down, up, alpha).reshape(weight.shape))


def _misfit(
    name: str, stored: Mapping[str, Tensor], layers: Mapping[str, nn.Linear | nn.Conv2d]
) -> str | None:
    """Mistake in the entries of one module; None where there is none."""
    if name not in layers:
        return f"{name} is no layer of it"
    absent = [part for part in PARTS if f"{name}.{part}" not in stored]
    known = {f"{name}.{part}" for part in (*PARTS, "alpha")}
    unknown = sorted(key for key in stored if key.startswith(f"{name}.") and key not in known)
    if absent or unknown:
        return f"{name} lacks {', '.join(absent)}" if absent else f"{unknown[0]} is not understood"
    down, up = (stored[f"{name}.{part}"] for part in PARTS)
    weight = layers[name].weight
    made = (len(up), *down.shape[1:])
    if up.numel() != len(up) * len(down) or made != tuple(weight.shape):
        return f"{name} makes {made} for a weight of {tuple(weight.shape)}"
    return None
