"""Says in sentences what is wrong in the control room, the worst first."""

from collections.abc import Iterable, Iterator

import msgspec

from controlplane.home.backlog import Backlog
from controlplane.home.refusals import Refusals
from controlplane.home.services import Service
from controlplane.home.workers import AgentRow, Worker


class Problem(msgspec.Struct, frozen=True):
    """state: stop for what is broken, soft for what waits. word says it without colour.

    traces: those that it is about.
    """

    state: str
    word: str
    what: str
    meaning: str = ""
    traces: tuple[str, ...] = ()


def problems(
    services: Iterable[Service],
    workers: Iterable[Worker],
    agents: Iterable[AgentRow],
    backlog: Backlog,
    refusals: Refusals,
) -> list[Problem]:
    found = [
        *_of_services(services),
        *_of_agents(agents),
        *_of_workers(workers),
        *_of_backlog(backlog),
        *_of_refusals(refusals),
    ]
    return sorted(found, key=lambda problem: problem.state != "stop")


def _of_services(services: Iterable[Service]) -> Iterator[Problem]:
    for service in services:
        if not service.is_up:
            yield Problem(
                "stop", "down", f"{service.title} does not answer.", service.without
            )


def _of_agents(agents: Iterable[AgentRow]) -> Iterator[Problem]:
    missing = [agent.name for agent in agents if agent.state == "missing"]
    if missing:
        yield Problem(
            "stop",
            "missing",
            f"No worker hosts {_and(missing)}.",
            "Their records wait in Kafka until a worker does.",
        )
    for agent in agents:
        if agent.state == "broken":
            yield Problem("stop", "broken", f"{agent.name} has ended: {agent.why}.")
        elif agent.state == "held":
            yield Problem("soft", "held", f"{agent.name} is held: {agent.why}.")


def _of_workers(workers: Iterable[Worker]) -> Iterator[Problem]:
    for worker in workers:
        if not worker.is_live:
            yield Problem(
                "soft",
                "silent",
                f"Worker {worker.instance} is silent since {worker.seen_at:%H:%M:%S}.",
                "Other workers with the same agents take over, if there are any; what it had"
                " begun is done again.",
            )
        elif worker.is_behind:
            yield Problem(
                "soft",
                "behind",
                f"Worker {worker.instance} still obeys version {worker.version}.",
                "It applies the newer one within 3 s, or starts nothing more.",
            )


def _of_backlog(backlog: Backlog) -> Iterator[Problem]:
    if backlog.error:
        yield Problem(
            "soft",
            "unknown",
            "How far agents are behind and how many records fail is unknown.",
            f"Kafka says: {backlog.error}.",
        )


def _of_refusals(refusals: Refusals) -> Iterator[Problem]:
    if refusals.answers:
        yield Problem(
            "stop",
            "refused",
            f"Kafka refused {_count(refusals.answers, 'decided answer')} for good:"
            f" {refusals.failure}.",
            "Their users still wait. docs/operations.md says how to have them published.",
            refusals.traces,
        )
    for topic, number in refusals.others.items():
        yield Problem(
            "stop",
            "refused",
            f"Kafka refused {_count(number, 'record')} of {topic} for good.",
            "What was decided here holds; readers of the topic lack it.",
        )


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
