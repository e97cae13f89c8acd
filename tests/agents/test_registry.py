import pytest

from agents import registry
from agents.agent import Agent
from agents.registry import AGENTS, UnknownAgentError, chosen, declaration


def test_all_stands_for_every_agent() -> None:
    assert chosen("all") == list(AGENTS)
    assert chosen("") == []


def test_agents_and_workflows_may_be_named_together_and_twice() -> None:
    assert chosen("gate, chat ,gate") == [
        "gate",
        "input-guard",
        "tier-router",
        "responder",
        "output-guard",
    ]


def test_a_name_that_nobody_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(
        UnknownAgentError, match=r"no agent or workflow 'nobody'.*input-guard"
    ):
        chosen("gate,nobody")


@pytest.mark.parametrize(
    "name", [n for n, (flow, _) in AGENTS.items() if flow == "chat"]
)
def test_an_agent_is_registered_under_its_own_name_and_workflow(name: str) -> None:
    agent = declaration(name)

    assert (agent.name, agent.workflow) == (name, AGENTS[name][0])
    [build] = registry.builds([name])
    assert build(None) is agent  # type: ignore[arg-type]


def test_each_agent_has_the_handlers_that_it_needs() -> None:
    for name, (flow, _) in AGENTS.items():
        if flow == "chat":
            agent: Agent = declaration(name)
            handlers = [
                agent.handle,
                agent.handle_async,
                agent.handle_batch,
                agent.handle_records,
            ]
            # Two where some events must wait and others need not.
            wanted = 1 if agent.waits is None else 2
            assert sum(handler is not None for handler in handlers) == wanted


def test_an_agent_of_the_platform_cannot_be_tried_alone() -> None:
    with pytest.raises(UnknownAgentError, match="gate belongs to the platform"):
        declaration("gate")


def test_upstream_of_an_agent_are_those_whose_work_it_reads() -> None:
    upstream = registry.upstream()

    assert upstream["output-guard"] == {
        "input-guard",
        "tier-router",
        "responder",
        "output-guard",
    }
    assert upstream["input-guard"] == {"input-guard"}
