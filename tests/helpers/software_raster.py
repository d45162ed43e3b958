"""nvdiffrast's depth peeler in plain torch, for small scenes on machines without a GPU.

It follows nvdiffrast's documented interface, and snaps corners to 1/16 pixel as that does, but for
triangles that reach behind the camera. The real one is tested on a GPU.
"""

import sys
from types import ModuleType

import torch


class RasterizeCudaContext:
    def __init__(self, device=None):
        self.device = device


class DepthPeeler:
    """Layer by layer, what each pixel sees: brute force over all pixels and triangles."""

    def __init__(self, glctx, pos, tri, resolution, ranges=None, grad_db=True):
        assert isinstance(glctx, RasterizeCudaContext)
        assert pos.dtype == torch.float32 and tri.dtype == torch.int32  # as the real one demands
        assert pos.is_contiguous() and tri.is_contiguous() and len(tri) > 0 and pos.shape[::2] == (1, 4)
        corners = snapped(pos[0].double()[tri.long()], *resolution)
        self.resolution, self.depth = resolution, coverage(corners, *resolution)
        self.last = torch.full(self.depth.shape[1:], -torch.inf, dtype=torch.float64)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def rasterize_next_layer(self):
        """(u, v, z/w, triangle from 1), of which only the last is made, and derivatives, which are not."""
        behind = torch.where(self.depth > self.last, self.depth, torch.inf)
        self.last, triangle = behind.min(dim=0)
        out = torch.zeros(1, *self.resolution, 4)
        seen = torch.where(self.last < torch.inf, triangle + 1, 0)
        out[0, ..., 3] = seen.reshape(self.resolution)
        return out, None


def snapped(corners, height, width):
    """Clip-space corners (triangles, 3, 4), moved to the nearest sixteenth of a pixel."""
    w = corners[..., 3]
    steps = torch.tensor([8.0 * width, 8.0 * height], dtype=torch.float64)  # from the middle to the edge
    moved = (corners[..., :2] / w[..., None] * steps).round() / steps * w[..., None]
    in_front = (w > 0).all(dim=1)[:, None, None]
    return torch.cat([torch.where(in_front, moved, corners[..., :2]), corners[..., 2:]], dim=-1)


def coverage(corners, height, width):
    """(triangles, pixels): z / w where the middle of a pixel lies in a triangle, else infinity."""
    rows, columns = torch.meshgrid(
        (2 * torch.arange(height) + 1) / height - 1, (2 * torch.arange(width) + 1) / width - 1, indexing="ij"
    )
    x, y, z, w = (corners[..., i, None] for i in range(4))  # (triangles, 3, 1)
    x, y = x - columns.reshape(-1).double() * w, y - rows.reshape(-1).double() * w
    edges = torch.stack([x[:, i - 2] * y[:, i - 1] - y[:, i - 2] * x[:, i - 1] for i in range(3)], dim=1)
    inside = (edges >= 0).all(dim=1) | (edges <= 0).all(dim=1)
    share = edges / edges.sum(dim=1, keepdim=True)
    depth, distance = (share * z).sum(dim=1), (share * w).sum(dim=1)
    return torch.where(inside & (distance > 0), depth / distance, torch.inf)


def install(monkeypatch):
    """Let `import nvdiffrast.torch` find this module."""
    package, here = ModuleType("nvdiffrast"), sys.modules[__name__]
    package.torch = here  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "nvdiffrast", package)
    monkeypatch.setitem(sys.modules, "nvdiffrast.torch", here)
