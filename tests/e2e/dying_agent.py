"""Hosts one agent that is killed when Kafka has its output, before it commits what it read.

python -m tests.e2e.dying_agent NAME WORD    the word is in the record with which it dies
"""

import os
import signal
import sys

import django


def main(name: str, word: str) -> None:
    django.setup()
    from agents import host, runner, work  # noqa: PLC0415  # they need Django set up

    acknowledged = work.Work.acknowledged

    def die(done: work.Work) -> None:
        acknowledged(done)
        if word.encode() in done.record.value:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(work.Work, "acknowledged", die)  # noqa: B010  # mypy minds the plain form
    setattr(runner.Runner, "_commit_finished", lambda self, *, wait=False: None)  # noqa: B010
    runtime = host.make_runtime([name])
    runtime.start()
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
