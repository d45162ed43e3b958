"""Paths of the pipeline's results: everything under out_local/, spelt once."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outputs:
    """Paths of one run's results, by what they hold."""

    root: Path = Path("out_local")

    @property
    def checked(self) -> Path:
        """Written once params.yaml was found sound; its content is always the same."""
        return self.root / "check" / "params.json"

    @property
    def gate(self) -> Path:
        """The verdict of gradcheck, on which the later stages depend."""
        return self.root / "gradcheck" / "gate.json"

    def gradcheck_log(self, map_id: object) -> Path:
        """Everything that gradcheck measured on a map."""
        return self.root / "nv_diff_logs" / f"dataset_{map_id}_diff_log.json"

    @property
    def final_gradient_test(self) -> Path:
        """The gradient test on the trained grid."""
        return self.root / "nv_diff_logs" / "final_gradient_test.json"

    @property
    def grid(self) -> Path:
        """The grid that draws the input map, a folder; see voxsds/grid/file.py."""
        return self.root / "grid"

    @property
    def first_images(self) -> Path:
        return self.root / "init_imgs"

    @property
    def logs(self) -> Path:
        """Logs of the training, a folder; see voxsds/train/log.py."""
        return self.root / "logs"

    @property
    def curves(self) -> Path:
        """One row a step, tab-separated."""
        return self.logs / "train.tsv"

    @property
    def worlds(self) -> Path:
        """Plain blocks of the grid at logged steps, a folder; see voxsds/world/snapshots.py."""
        return self.logs / "worlds"

    @property
    def train_metrics(self) -> Path:
        return self.logs / "metrics.json"

    @property
    def test_images(self) -> Path:
        return self.root / "test_imgs"

    @property
    def model(self) -> Path:
        """The trained grid, a folder like `grid`."""
        return self.root / "model"

    @property
    def export_counts(self) -> Path:
        """Counts of what the export did."""
        return self.root / "export" / "export.json"

    @property
    def untidied(self) -> Path:
        """Blocks of the trained grid without the export's clean-up."""
        return self.root / "export" / "untidied.npz"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def checkpoints(self) -> Path:
        """State of runs that are not finished, and encoded prompts; no output of any stage."""
        return self.root / "ckpt"

    @property
    def lock(self) -> Path:
        """Held by the training that writes into this folder."""
        return self.checkpoints / "outputs.lock"
