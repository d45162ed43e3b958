"""A training from its checkpoint to its end, logged; or as one of several processes that share it."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from voxsds.train.checkpoint import Checkpoint, Signals
from voxsds.train.log import RunLog, memory_mb
from voxsds.train.training import StepRecord, Training, train
from voxsds.world.datasets import TEST_VIEWS

LINE_EVERY = 50  # steps, where there is no terminal to draw a progress bar on


def keep(training: Training, log: RunLog, checkpoint: Checkpoint) -> None:
    """Runs `training` from its checkpoint, if there is one, to the end, and logs it.

    A signal ends the process after the step in hand, with the state saved. The checkpoint stays: the
    caller removes it when the results are written.
    """
    state = checkpoint.load()
    training.ranks.sent(state and state["training"])
    if state is not None:
        training.load_state_dict(state["training"])
        log.load_state_dict(state["log"])
        print(f"resuming at step {training.step} from {checkpoint.folder}", file=sys.stderr)
    else:
        _keep_moment(training, log)
    settings = training.settings
    with _progress(settings.steps, training.step) as show:
        for record in train(training):
            log.add(record)
            done = training.step
            if done % settings.image_every == 0 or done == settings.steps:
                _keep_moment(training, log)
            caught = training.ranks.agreed(checkpoint.signals.caught)
            if caught or done % settings.checkpoint_every == 0 or done == settings.steps:
                checkpoint.save({"training": training.state_dict(), "log": log.state_dict()})
            if caught:
                checkpoint.leave(done, caught)
            show(record)
    parts = training.clock.medians()
    print("a step, ms:", ", ".join(f"{name} {ms:.1f}" for name, ms in parts.items()), file=sys.stderr)
    log.finish(settings.steps, parts)


def follow(training: Training) -> None:
    """Takes the steps of a run in every process but the first, which is in `keep`; writes no files.

    A signal to any process ends all of them after the step in hand.
    """
    if (state := training.ranks.sent(None)) is not None:
        training.load_state_dict(state)
    with Signals() as signals:
        for _ in train(training):
            if caught := training.ranks.agreed(signals.caught):
                sys.exit(128 + caught)


def _keep_moment(training: Training, log: RunLog) -> None:
    log.moment(training.step, training.pictures(TEST_VIEWS), training.grid.blocks())


@contextmanager
def _progress(steps: int, done: int) -> Iterator[Callable[[StepRecord], None]]:
    """Shows step time, time left, loss and memory: a bar on a terminal, else a line every 50 steps."""
    start, before = time.monotonic(), done
    with tqdm(total=steps, initial=done, unit="step", disable=not sys.stderr.isatty()) as bar:

        def show(record: StepRecord) -> None:
            at = record.step + 1
            each = (time.monotonic() - start) / (at - before)
            loss, memory = f"{record.losses['total']:.4f}", f"{memory_mb():.0f} MB"
            bar.set_postfix_str(f"{1000 * each:.0f} ms/step, loss {loss}, {memory}", refresh=False)
            bar.update()
            if bar.disable and (at % LINE_EVERY == 0 or at == steps):
                left = f"{each * (steps - at):.0f} s left"
                line = f"step {at}/{steps}  {1000 * each:.0f} ms/step  {left}  loss {loss}  {memory}"
                print(line, file=sys.stderr, flush=True)

        yield show
