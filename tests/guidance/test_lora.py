"""LoRA files, merged into a network's weights."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from voxsds.guidance.sdxl.lora import add_lora, kohya_name, lora_change


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.ModuleList([nn.Conv2d(3, 5, 3, padding=1, bias=False)])
        self.to_out = nn.Linear(5, 4, bias=False)

    def forward(self, x):
        return self.to_out(self.first[0](x).mean(dim=(2, 3)))


def stored() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "lora_unet_first_0.lora_down.weight": torch.randn(2, 3, 3, 3),
        "lora_unet_first_0.lora_up.weight": torch.randn(5, 2, 1, 1),
        "lora_unet_first_0.alpha": torch.tensor(6.0),
        "lora_unet_to_out.lora_down.weight": torch.randn(3, 5),
        "lora_unet_to_out.lora_up.weight": torch.randn(4, 3),
    }


def test_a_worked_change():
    assert lora_change(torch.tensor([[3.0]]), torch.tensor([[5.0]]), alpha=2.0).item() == 30


def test_a_merged_network_answers_as_one_with_branches_beside_its_layers(tmp_path):
    torch.manual_seed(0)
    network, parts, x = Network(), stored(), torch.randn(2, 3, 6, 6)
    save_file(parts, tmp_path / "lora.safetensors")
    down, up, alpha, low, high = parts.values()
    with torch.no_grad():
        # alpha / rank is 3 for the convolution; the linear layer has no alpha: 1
        beside = 3 * F.conv2d(F.conv2d(x, down, padding=1), up)
        hidden = (network.first[0](x) + beside).mean(dim=(2, 3))
        expected = network.to_out(hidden) + F.linear(F.linear(hidden, low), high)
        add_lora(network, tmp_path / "lora.safetensors")
        torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "first, to_out, down, up",
    [
        ("unet.first.0", "unet.to_out", "lora_A", "lora_B"),  # PEFT, as diffusers saves it
        ("unet.first.0", "unet.to_out", "lora.down", "lora.up"),  # older diffusers
        ("first.0", "to_out", "lora_A", "lora_B"),  # of a network by itself
        ("base_model.model.first.0", "base_model.model.to_out", "lora_A", "lora_B"),
    ],
)
def test_other_names_mean_the_same(tmp_path, first, to_out, down, up):
    kohya = {name: part for name, part in stored().items() if not name.endswith("alpha")}
    renamed = {
        name.replace("lora_unet_first_0", first)
        .replace("lora_unet_to_out", to_out)
        .replace("lora_down", down)
        .replace("lora_up", up): part
        for name, part in kohya.items()
    }
    assert [kohya_name(name) for name in renamed] == list(kohya)
    networks = []
    for file, parts in (("kohya", kohya), ("other", renamed)):
        torch.manual_seed(0)
        networks.append(Network())
        save_file(parts, tmp_path / file)
        add_lora(networks[-1], tmp_path / file)
    torch.testing.assert_close(networks[0].state_dict(), networks[1].state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    "oldest, module", [("to_q", "to_q"), ("to_k", "to_k"), ("to_v", "to_v"), ("to_out", "to_out_0")]
)
@pytest.mark.parametrize("prefix", ["", "unet."])
def test_the_oldest_names_are_those_of_an_attention_s_layers(prefix, oldest, module):
    for old, part in (("down", "lora_down"), ("up", "lora_up")):
        name = f"{prefix}down_blocks.0.attn1.processor.{oldest}_lora.{old}.weight"
        assert kohya_name(name) == f"lora_unet_down_blocks_0_attn1_{module}.{part}.weight"


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"lora_te1_text.lora_down.weight": torch.ones(1, 1)}, "lora_te1_text is no layer of it"),
        ({"lora_unet_to_out.lora_up.weight": None}, r"lora_unet_to_out lacks lora_up.weight"),
        ({"lora_unet_to_out.lora_up.weight": torch.ones(7, 3)}, r"makes \(7, 5\) for a weight of \(4, 5\)"),
        ({"lora_unet_to_out.dora_scale": torch.ones(4)}, "lora_unet_to_out.dora_scale is not understood"),
    ],
)
def test_a_file_that_does_not_fit_is_named_and_changes_nothing(tmp_path, changes, message):
    network, file = Network(), tmp_path / "lora.safetensors"
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    save_file({k: v for k, v in (stored() | changes).items() if v is not None}, file)
    with pytest.raises(ValueError, match=f"lora.safetensors is no LoRA for this UNet.*{message}"):
        add_lora(network, file)
    torch.testing.assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
