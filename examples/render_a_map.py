"""Draw a map, and ask the gradient where one more block would change the picture most.

    python -m examples.render_a_map        writes out_local/examples/map.png and one_block_more.png

The picture is linear in the opacity of each voxel, also of an empty one. So the derivative at zero is what
really adding a block there does, to the last digits of a float.
"""

from pathlib import Path

import torch

from voxsds.files.disk import write_image
from voxsds.render.light import lit_faces
from voxsds.render.rays import ray_bundle
from voxsds.render.renderer import render
from voxsds.world.datasets import read_dataset
from voxsds.world.field import solid_field
from voxsds.world.maps import read_map
from voxsds.world.palette import read_palette

OUT = Path("out_local/examples")


def main() -> None:
    world = read_map(Path("maps/1/map.json"), read_palette("engine"))
    rays = ray_bundle(read_dataset("datasets/1").cameras[:1], world.frame)
    lit = lit_faces(world.palette).float()
    opacity, material = solid_field(world.blocks, len(world.palette) - 1)

    opacity.requires_grad_()
    picture = render(opacity, material, lit, rays, min_transmittance=0.0).rgba[0, :3]
    picture.sum().backward()
    assert opacity.grad is not None
    slope = torch.where(opacity == 0, opacity.grad, torch.zeros(()))  # of the brightness, in empty voxels

    best = tuple(int(i) for i in torch.unravel_index(slope.abs().argmax(), slope.shape))
    with torch.no_grad():
        opacity[best] = 1.0  # really add the block
        added = render(opacity, material, lit, rays, min_transmittance=0.0).rgba[0, :3]

    print(f"a block at {best}: the gradient says {slope[best]:+.4f}, "
          f"adding it changes the picture by {(added - picture).sum().item():+.4f}")  # fmt: skip
    for name, image in (("map", picture.detach()), ("one_block_more", added)):
        write_image(OUT / f"{name}.png", image.permute(1, 2, 0).numpy())


if __name__ == "__main__":
    main()
