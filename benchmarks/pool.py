"""Many runs in several processes, each of which reads the networks once."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.sharedctypes import Synchronized

import torch

from benchmarks.runs import Job, Outcome, run
from voxsds.train.memory import tune_allocators


def outcomes(jobs: Sequence[Job], workers: int, device: str) -> Iterator[tuple[Job, Outcome]]:
    """The jobs with what they came to, in the order in which they end.

    An error in one is raised when all have ended, so that it costs no other's work.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // workers)
    os.environ["NUMBA_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = str(threads)  # read at import
    tune_allocators()
    errors = []
    spawning = get_context("spawn")  # not forking: CUDA and numba's threads do not survive it
    given = (threads, spawning.Value("i", 0))
    with ProcessPoolExecutor(workers, spawning, initializer=_start, initargs=given) as pool:
        running = {pool.submit(run, job, device): job for job in jobs}
        for future in as_completed(running):
            if error := future.exception():
                print(f"{running[future].case.name}: {error!r}", flush=True)
                errors.append(error)
            else:
                yield running[future], future.result()
    if errors:
        raise ExceptionGroup(
            f"{len(errors)} of {len(jobs)} runs failed; the same command tries again", errors
        )


def _start(threads: int, started: "Synchronized[int]") -> None:
    """Each process keeps to its share of the cores, and to one card, in turn."""
    torch.set_num_threads(threads)
    with started.get_lock():
        number = started.value
        started.value += 1
    if cards := torch.cuda.device_count():
        torch.cuda.set_device(number % cards)
