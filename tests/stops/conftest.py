"""The stage of the agents' tests, for the tripwire beside them."""

from tests.agents.conftest import loop_thread, stage

__all__ = ["loop_thread", "stage"]
