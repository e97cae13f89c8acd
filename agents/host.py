"""Hosts agents inside a Celery worker; the one module here that knows Celery.

The step is on the Worker blueprint: the Consumer blueprint restarts whenever the connection
to Celery's broker drops, and the agents must not.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import structlog
from celery import Celery, bootsteps
from celery.worker.control import control_command, inspect_command
from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connections
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo

from agents import registry

if TYPE_CHECKING:
    from agents.runtime import Runtime

log = structlog.get_logger()

# Writes down which agents of which worker were paused, or let go on.
Record = Callable[[str, list[str], bool], None]

_hosted: "Runtime | None" = None
_record: Record | None = None


def install(app: Celery, record: Record) -> None:
    """Add `--agents` to `celery worker`, and the step that obeys it.

    record: called before remote control acts on agents; a DatabaseError of it leaves them alone.
    """
    global _record  # noqa: PLW0603  # Celery calls commands with its own state alone
    _record = record
    app.user_options["worker"].add(
        click.Option(
            ["--agents"],
            default="",
            callback=_check,
            help="Agents or workflows to host, with commas, or all.",
        )
    )
    app.steps["worker"].add(AgentsStep)


def _check(_context: click.Context, _option: click.Parameter, names: str) -> str:
    """Refuse an unknown name before anything starts."""
    try:
        registry.chosen(names)
    except registry.UnknownAgentError as error:
        raise click.BadParameter(str(error)) from error
    return names


class AgentsStep(bootsteps.StartStopStep):
    """Starts the chosen agents with the worker and drains them with it."""

    def __init__(self, parent: Any, agents: str = "", **options: Any) -> None:
        super().__init__(parent, **options)
        self.names = registry.chosen(agents)
        self.enabled = bool(self.names)

    def start(self, parent: Any) -> None:
        global _hosted  # noqa: PLW0603  # remote control reaches the runtime through it
        _hosted = make_runtime(self.names)
        _hosted.start()

    def stop(self, parent: Any) -> None:
        if _hosted is not None:
            _hosted.stop()

    terminate = stop


def make_runtime(names: list[str]) -> "Runtime":
    """Build a runtime from Django's settings."""
    # Only who runs agents pays for what they are run with: the model's client is 0.4 s and 15 MB.
    from agents.runtime import Runtime  # noqa: PLC0415
    from guardrails.masking import masker_of  # noqa: PLC0415

    return Runtime(
        registry.builds(names),
        conninfo=conninfo(),
        client=settings.KAFKA,
        scorers=settings.SCORERS,
        masker=masker_of(settings.MASKING),
        knowledge=Path(settings.KNOWLEDGE_PATH).read_text(),
    )


def conninfo(alias: str = "default") -> str:
    """Return the database of a connection of Django's, tests' included, for plain psycopg."""
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    parameters = connections[alias].get_connection_params()
    return make_conninfo(
        **{
            name: value
            for name, value in parameters.items()
            if name in known and value not in {None, ""}
        }
    )


def _switch(
    worker: str, names: list[str] | None, *, is_paused: bool
) -> dict[str, list[str]]:
    if _hosted is None:
        return {"error": ["this worker hosts no agents"]}
    chosen = [name for name in names or _hosted.seats if name in _hosted.seats]
    assert _record is not None  # install() was given one
    try:
        _record(worker, chosen, is_paused)
    except DatabaseError as error:
        log.warning("remote_control_refused", reason=str(error))
        return {"error": [f"the audit log cannot be written, nothing changed: {error}"]}
    for name in chosen:
        _hosted.seats[name].pause("paused by remote control" if is_paused else "")
    return {"ok": chosen}


@inspect_command()
def agents(state: Any) -> list[dict[str, Any]]:
    """What the agents of this worker do."""
    return _hosted.statuses() if _hosted is not None else []


@control_command(args=[("names", str)], signature="[agent ...]", variadic="names")
def pause_agents(state: Any, names: list[str] | None = None) -> dict[str, list[str]]:
    """Pause agents on this worker."""
    return _switch(state.hostname, names, is_paused=True)


@control_command(args=[("names", str)], signature="[agent ...]", variadic="names")
def resume_agents(state: Any, names: list[str] | None = None) -> dict[str, list[str]]:
    """Let paused agents of this worker go on."""
    return _switch(state.hostname, names, is_paused=False)
