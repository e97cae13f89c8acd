"""Workers that do wrong on purpose: a soak that finds nothing wrong with them proves nothing.

python -m tests.soak.bad_worker commits-first    all agents; offsets are committed before Kafka has the outputs
python -m tests.soak.bad_worker forgetful-gate   a second gate, which knows of no outcome
"""

import signal
import sys
import threading
from typing import Any

import django
import msgspec

from agents import topics
from agents.agent import Agent
from agents.tools import Build, Tools
from tests.guardrails.factories import make_masker

LATE_S = 1.5  # long enough to be killed in between


def commits_first() -> list[Build]:
    """Publish after the commit: what a kill finds in between is lost."""
    from agents import outlet, registry, work  # noqa: PLC0415  # need Django set up

    publish = outlet.Outlet._publish

    def publish_late(*arguments: Any, **options: Any) -> None:
        threading.Timer(LATE_S, publish, arguments, options).start()

    setattr(work.Work, "expect", lambda done, _: done.finish())  # noqa: B010  # mypy minds the plain form
    setattr(outlet.Outlet, "_publish", publish_late)  # noqa: B010
    return registry.builds(registry.AGENTS)


def forgetful_gate() -> list[Build]:
    """Read the answers in a group of its own, and take each turn for one that has none."""
    from controlplane.chat import settle, sinks  # noqa: PLC0415

    known = "coalesce(o.state, 'open'), coalesce(o.record_id, '')"
    assert known in settle._TURNS
    settle._TURNS = settle._TURNS.replace(known, "'open', ''")
    reads = (topics.RESPONSES_FINAL, topics.USER_BLOCKED)

    def twin(tools: Tools) -> Agent:
        return msgspec.structs.replace(sinks.gate(tools), name="twin-gate", reads=reads)

    return [twin]


KINDS = {"commits-first": commits_first, "forgetful-gate": forgetful_gate}


def main(kind: str) -> None:
    django.setup()
    from django.conf import settings  # noqa: PLC0415

    from agents.host import conninfo  # noqa: PLC0415
    from agents.runtime import Runtime  # noqa: PLC0415

    builds = KINDS[kind]()
    runtime = Runtime(
        builds,
        conninfo=conninfo(),
        client=settings.KAFKA,
        scorers=settings.SCORERS,
        masker=make_masker(),
    )
    asked_to_end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: asked_to_end.set())
    runtime.start()
    asked_to_end.wait()
    runtime.stop()


if __name__ == "__main__":
    main(sys.argv[1])
