"""The private hooks of Faust and aiokafka that the lane stands on: there, and missed loudly when gone."""

import inspect

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.transport.drivers import aiokafka as driver

from learners.errors import MeanderError
from stream.adapters import lane


def test_all_hooks_are_there():
    """The versions named in constraints.txt have every hook."""
    lane.check_hooks()


@pytest.mark.parametrize(("owner", "name"), lane.HOOKS)
def test_a_hook_that_moved_stops_the_start(monkeypatch, owner, name):
    """The error names the hook and the versions, before anything runs."""

    class Bare:
        pass

    Bare.__module__, Bare.__name__ = owner.__module__, owner.__name__
    monkeypatch.setattr(lane, "HOOKS", ((Bare, name),))
    with pytest.raises(MeanderError, match=rf"{name} is gone.*faust-streaming \d"):
        lane.check_hooks()


def test_overridden_methods_have_the_signatures_they_had():
    """What the lane overrides is called with the arguments it expects."""
    expected = {
        (driver.Consumer, "on_buffer_full"): ["self", "tp"],
        (driver.Consumer, "on_partitions_revoked"): ["self", "revoked"],
        (driver.Consumer, "perform_seek"): ["self"],
        (driver.Consumer, "resume_flow"): ["self"],
        (driver.Consumer, "stop_flow"): ["self"],
        (driver.Consumer, "seek_wait"): ["self", "partitions"],
        (driver.Consumer, "_new_consumer_thread"): ["self"],
        (driver.AIOKafkaConsumerThread, "_commit"): ["self", "offsets"],
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer"): ["self", "transport"],
        (driver.Producer, "_settings_extra"): ["self"],
        (driver.AIOKafkaConsumerThread, "on_start"): ["self"],
        (driver.AIOKafkaConsumerThread, "on_partitions_assigned"): ["self", "assigned", "generation_id"],
        (GroupCoordinator, "_do_heartbeat"): ["self"],
        (AIOKafkaProducer, "send_batch"): ["self", "batch", "topic", "partition"],
    }
    for (owner, name), parameters in expected.items():
        assert list(inspect.signature(getattr(owner, name)).parameters) == parameters, name


def test_the_consumer_keeps_its_fetch_wait_where_the_lane_sets_it():
    """The consumer reads `_fetch_max_wait_ms` when it starts: setting it before changes the fetches."""
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)


def test_heartbeats_pass_through_the_method_the_lease_wraps():
    """The routine asks the instance for `_do_heartbeat` each time, and takes its answer for success."""
    source = inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert "success = await self._do_heartbeat()" in source


def test_an_idle_member_leaves_the_group_by_max_poll_interval_alone():
    """With an interval of years a standby stays: nothing else makes a member leave."""
    source = inspect.getsource(GroupCoordinator._heartbeat_routine)
    assert source.count("_maybe_leave_group") == 1
    assert "if idle_time < self._max_poll_interval" in source
