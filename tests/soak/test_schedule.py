"""The same seed breaks the same things in the same order, and in time everything is broken."""

from tests.soak.faults import kinds, schedule


def plan(seed: str, *, seconds: float = 600, kafka_nodes: int = 3) -> list[str]:
    planned = schedule(seed, seconds=seconds, every_s=5, kafka_nodes=kafka_nodes)
    return [str(each) for each in planned]


def test_the_same_seed_is_the_same_schedule() -> None:
    assert plan("7") == plan("7")
    assert plan("7") != plan("8")


def test_a_fault_comes_every_five_seconds_and_none_in_the_last() -> None:
    planned = schedule("7", seconds=30, every_s=5)

    assert [each.at_s for each in planned] == [5, 10, 15, 20, 25]


def test_each_kind_comes_once_before_any_comes_again() -> None:
    names = {fault.name for fault in kinds(3)}
    planned = schedule("7", seconds=5 * (len(names) + 1), every_s=5, kafka_nodes=3)

    assert len(planned) == len(names)
    assert {each.fault.name for each in planned} == names


def test_a_broker_of_its_own_dies_only_where_there_are_three() -> None:
    assert "SIGKILL kafka-2" not in {fault.name for fault in kinds(1)}
    assert "SIGKILL kafka-2" in {fault.name for fault in kinds(3)}
