"""Noise levels as an SDXL folder names them, and noise from a network that predicts velocity."""

from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float
from torch import Tensor

from voxsds.guidance.noise import Level, NoiseTable
from voxsds.guidance.sdxl.folder import PipelineFolder


def read_schedule(folder: PipelineFolder) -> tuple[NoiseTable, bool]:
    """The folder's table, and whether its network predicts velocity; ValueError where it predicts images."""
    config = folder.scheduler()
    kind = config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(
            f"{folder.path}: prediction_type {kind!r} is not supported; epsilon and v_prediction are"
        )
    needed = {"beta_start", "beta_end", "beta_schedule", "num_train_timesteps"}
    if not needed <= config.keys():
        raise ValueError(
            f"{folder.path}: the schedule of {config.get('_class_name')} is not one of betas "
            f"({', '.join(sorted(needed - config.keys()))} missing); use a model trained with one"
        )
    keys = needed | {"trained_betas", "rescale_betas_zero_snr"} & config.keys()
    alphas_cumprod = DDIMScheduler(**{key: config[key] for key in keys}).alphas_cumprod
    return NoiseTable.ddpm(alphas_cumprod), kind == "v_prediction"


def noise_from_velocity(
    noisy: Float[Tensor, "views channels height width"],
    velocity: Float[Tensor, "views channels height width"],
    level: Level,
) -> Float[Tensor, "views channels height width"]:
    """eps_hat = a v + s z_t, from v = a eps - s z (arXiv 2202.00512, appendix D); a^2 + s^2 has to be 1."""
    a, s = level.amplitudes()
    return a * velocity + s * noisy
