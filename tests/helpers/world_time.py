"""How long a world takes to make, in a process of its own: the type checks of the tests cost five times that.

python -m tests.helpers.world_time 32 24 32    seconds: the best of three, the median of 20 worlds
"""

import sys
import time
import timeit
from statistics import median

from teacher.worlds.world import generate
from voxsds.captions.styles import TEACHER


def seconds(size: tuple[int, int, int]) -> float:
    def best(seed: int) -> float:
        return min(
            timeit.repeat(lambda: generate(seed, TEACHER, size), time.process_time, number=1, repeat=3)
        )

    return median(best(seed) for seed in range(20))


if __name__ == "__main__":
    x, y, z = map(int, sys.argv[1:])
    print(seconds((x, y, z)))
