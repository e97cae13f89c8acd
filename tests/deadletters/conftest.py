"""The stage of the agents' tests, for what people see of agents that fail."""

from tests.agents.conftest import loop_thread, stage

__all__ = ["loop_thread", "stage"]
