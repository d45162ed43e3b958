"""A step as the project that voxsds began from took it, for comparison.

Two forwards of the UNet one after the other, the gradient taken through both, an autoencoder in float32,
and the nearest face of each pixel, rasterised: blocks behind it get no gradient. Networks are diffusers'
own, without anything that `voxsds.guidance.fast.fused` does.
"""

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from voxsds.guidance.hub import locate
from voxsds.guidance.noise import noise_latents
from voxsds.guidance.sds import guided_noise
from voxsds.guidance.sdxl.teacher import SdxlTeacher, answer, load_unet
from voxsds.guidance.weights import frozen, load_model
from voxsds.render.light import SKY
from voxsds.render.rays import RayBundle
from voxsds.render.renderer import first_hit
from voxsds.train.training import Training
from voxsds.world.field import Field

THRESHOLD = 0.01  # opacity from which a block is in the mesh


def plain_networks(teacher: SdxlTeacher) -> tuple[Any, Any]:
    """(UNet, autoencoder in float32) once more from the teacher's files, as diffusers has them."""
    model = teacher.model
    path, variant = teacher.folder.path / "vae", teacher.folder.variant
    if model.vae is not None:
        path, variant = locate(model.vae, [], local_files_only=True), None
    vae = frozen(load_model(AutoencoderKL, path, variant, torch.float32), teacher.device)
    return load_unet(teacher.folder, model, teacher.device), vae


def nearest_faces(
    field: Field, lit: Float[Tensor, "S 6 3"], rays: RayBundle, backend: str
) -> Float[Tensor, "B 3 H W"]:
    """The colour of the first block of each pixel, mixed with the sky by its opacity."""
    voxel, face = (t.flatten() for t in first_hit(field.opacity, rays, threshold=THRESHOLD, backend=backend))
    seen, voxel = (voxel >= 0)[:, None], voxel.clamp(min=0)
    material = field.material.reshape(-1, field.material.shape[-1]).index_select(0, voxel)
    color = torch.einsum("ps,psc->pc", material, lit[:, face.clamp(min=0)].permute(1, 0, 2))
    opacity = field.opacity.reshape(-1).index_select(0, voxel)[:, None]
    sky = torch.as_tensor(SKY).to(color)
    image = torch.where(seen, opacity * color + (1 - opacity) * sky, sky)
    return image.reshape(rays.eye.shape[0], rays.height, rays.width, 3).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Original:
    """Its networks and guidance; a step moves the grid of a run of ours."""

    unet: Any
    vae: Any
    guidance_scale: float

    @property
    def backend(self) -> str:
        """nvdiffrast, or what stands in for it where it is not installed."""
        return "nvdiffrast" if importlib.util.find_spec("nvdiffrast") else "auto"

    def step(self, run: Training) -> None:
        """One step with the views and the optimizer of `run`, and torch's own choice of algorithms."""
        with torch.backends.cudnn.flags(enabled=True, benchmark=False):
            self._step(run)

    def _step(self, run: Training) -> None:
        teacher: Any = run.critic.teacher
        camera, _ = run.source.draw(run.camera_draws)
        rays = run.drawing.rays([camera])
        images = nearest_faces(run.field(), run.drawing.lit, rays, self.backend)
        mean = self.vae.encode(images * 2 - 1).latent_dist.mean
        latents = mean * self.vae.config.scaling_factor
        t = torch.tensor([499], device=latents.device)
        noise = torch.randn_like(latents)
        noisy = noise_latents(latents, noise, teacher.noise.at(t, latents)).to(self.unet.dtype)
        told = run.critic.question.encoded.batch(1, noisy.dtype)
        predicted = [
            answer(self.unet, noisy, t, *(table[which : which + 1] for table in told)).float()
            for which in (0, 1)
        ]
        loss = F.mse_loss(guided_noise(predicted[0], predicted[1], self.guidance_scale), noise)
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
