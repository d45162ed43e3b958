"""The suite under other recipes: what each idea is worth.

    python -m benchmarks.ablations default plan                    two of benchmarks/ablations.yaml
    python -m benchmarks.ablations --only tower,mountain --workers 14

writes figures and worlds of each recipe, NAME.json and NAME.npz, into --out (benchmarks/results/ablations),
anew after every run, and from all that lies there docs/quality.md. The same command runs what is missing.
"""

import sys
from pathlib import Path

from benchmarks.cases import chosen, read_cases, with_overrides
from benchmarks.machine import machine
from benchmarks.quality import write_page
from benchmarks.recipes import read_ablations
from benchmarks.runs import Job
from benchmarks.store import Store
from benchmarks.suite import arguments, device_of, work_through
from voxsds.files.params import read_params

OUT = Path("benchmarks/results/ablations")
PAGE = Path("docs/quality.md")


def main() -> None:
    known = read_ablations()
    parser = arguments(__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(known)}; none: all")
    parser.add_argument("--out", type=Path, default=OUT, help="folder")
    parser.add_argument("--page", type=Path, default=PAGE)
    args = parser.parse_args()
    if unknown := sorted(set(args.names) - set(known)):
        raise ValueError(f"{unknown} not in benchmarks/ablations.yaml; known are {', '.join(known)}")
    params, cases = read_params("params.yaml"), chosen(read_cases(), args.only, args.maps, args.seeds)
    jobs, stores, device, about = [], {}, device_of(args.device), machine()
    for name in args.names or known:
        changed = with_overrides(params, known[name].set)
        jobs += [Job(name, case, changed) for case in read_cases()]
        stores[name] = Store(args.out / f"{name}.json", name, known[name].set, device, about)
    work_through(jobs, cases, stores, args.workers)
    write_page(args.page, args.out, known)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"ablations: {error}")
