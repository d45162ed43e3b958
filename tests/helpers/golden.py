"""Images that a test expects, in tests/golden.

python -m tests.helpers.golden      takes those that the last failed test run drew as the new ones: look first
"""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

GOLDEN = Path(__file__).parents[1] / "golden"
DRAWN = GOLDEN / "drawn"  # what failed tests drew, and where it differs; ignored by Git


def assert_matches_golden(
    image: Image.Image, name: str, tolerance: int = 4, wrong_pixels: float = 0.002
) -> None:
    """At most a share of `wrong_pixels` may differ by more than `tolerance` of 255 in a channel."""
    path, pixels = GOLDEN / f"{name}.png", np.asarray(image.convert("RGB"), dtype=int)
    expected = (
        np.asarray(Image.open(path).convert("RGB"), dtype=int) if path.exists() else np.zeros((1, 1, 3))
    )
    same_size = pixels.shape == expected.shape
    wrong = (
        (np.abs(pixels - expected) > tolerance).any(axis=-1) if same_size else np.ones(pixels.shape[:2], bool)
    )
    if wrong.mean() > wrong_pixels:
        DRAWN.mkdir(exist_ok=True)
        image.convert("RGB").save(DRAWN / f"{name}.png")
        Image.fromarray(wrong).save(DRAWN / f"{name}.wrong.png")
        raise AssertionError(
            f"{wrong.mean():.2%} of the pixels differ from {path} (which has {expected.shape}); see {DRAWN}; "
            "if that is meant: python -m tests.helpers.golden"
        )


def main() -> None:
    for path in sorted(DRAWN.glob("*.png")):
        if not path.name.endswith(".wrong.png"):
            shutil.copy(path, GOLDEN / path.name)
            print(GOLDEN / path.name)
    shutil.rmtree(DRAWN, ignore_errors=True)


if __name__ == "__main__":
    main()
