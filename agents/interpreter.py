"""Settings of Python itself, for processes of many threads."""

import gc
import sys


def tune_interpreter() -> None:
    """Set the process up for many threads that each do little, and for batches of records.

    A thread that has a record waits for the interpreter's lock up to the switch interval at each
    hop: with Python's own 5 ms a turn took four times as long. A batch is many objects and no
    cycle: with the own threshold of 700 the collector took an eighth of a hop's time.
    """
    sys.setswitchinterval(0.0005)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
