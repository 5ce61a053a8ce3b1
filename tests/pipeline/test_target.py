"""The GPU that is planned for: Mirage's choices for it, and what it is asked."""

import re

import pytest

from mpkgraph.errors import UsageError
from mpkgraph.pipeline import Target, current_target, get_configurations, use_target
from mpkgraph.pipeline.target import GPUS


@pytest.mark.parametrize(
    ("num_sms", "expected"),
    [
        (200, (144, 224)),
        (170, (144, 104)),
        (160, (144, 64)),
        (159, (128, 124)),
        (148, (128, 80)),
        (142, (128, 56)),
        (132, (128, 16)),
        (131, (96, 140)),
        (108, (96, 48)),
        (107, (64, 172)),
        (68, (64, 16)),
        (64, (30, 136)),
        (40, (30, 40)),
        (39, (20, 76)),
        (21, (20, 4)),
    ],
)
def test_workers_and_schedulers_by_sms(num_sms, expected):
    assert get_configurations(num_sms) == expected


def test_a_gpu_without_sms_for_schedulers_is_refused_as_mirage_does():
    with pytest.raises(AssertionError, match="20 workers leave no SM of 20 for schedulers"):
        get_configurations(20)
    assert Target(cc=110, num_workers=16).configuration == (16, 16)


@pytest.mark.parametrize(
    ("cc", "expected"), [(80, (96, 48)), (90, (128, 16)), (100, (128, 80)), (120, (144, 104))]
)
def test_the_usual_gpu_of_a_compute_capability(cc, expected):
    target = Target(cc=cc)
    assert target.configuration == expected
    assert (target.properties.major, target.properties.minor) == divmod(cc, 10)


def test_what_is_given_wins():
    target = Target(cc=90, num_workers=100, num_sms=114, name="NVIDIA H100 PCIe", multicast=False)
    assert target.configuration == (100, 56)
    assert Target(num_workers=8, num_local_schedulers=4).configuration == (8, 4)
    assert Target(num_local_schedulers=4).configuration == (128, 4)
    assert target.properties.name == "NVIDIA H100 PCIe"
    assert target.properties.multi_processor_count == 114
    assert not target.has_multicast


@pytest.mark.parametrize(
    ("target", "world_size", "expected"),
    [
        (Target(cc=90), 2, True),
        (Target(cc=90, multicast=False), 2, False),
        (Target(cc=90, peer_access=False), 2, False),
        (Target(cc=90, peer_access=False), 1, True),
        (Target(cc=80), 2, False),
        (Target(cc=80, multicast=True), 2, False),
        (Target(cc=100), 8, True),
        (Target(cc=120), 2, False),
        (Target(cc=120, multicast=True), 2, True),
    ],
)
def test_which_allreduce(target, world_size, expected):
    assert target.has_tile_allreduce(world_size) is expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"cc": 70},
        {"rank": 1},
        {"rank": -1},
        {"world_size": 0},
        {"num_workers": 0},
        {"num_sms": -1},
    ],
)
def test_what_is_no_target(wrong):
    with pytest.raises(UsageError):
        Target(**wrong)


def test_the_target_of_a_session_ends_with_it():
    assert current_target() == Target()
    with use_target(Target(cc=100)), use_target(Target(cc=80)) as inner:
        assert current_target() is inner
    assert current_target() == Target()


def test_every_gpu_has_a_configuration_or_a_reason():
    for gpu in GPUS:
        if gpu.cc != 110:
            workers, schedulers = get_configurations(gpu.num_sms)
            assert workers + schedulers // 4 == gpu.num_sms


SOLD_WITH = {
    "NVIDIA RTX A5000": 24,
    "NVIDIA RTX 6000 Ada Generation": 48,
    "NVIDIA H200": 141,
    "NVIDIA B200": 180,
    "NVIDIA B300": 288,
    "NVIDIA Thor": 128,
    "NVIDIA GeForce RTX 5090": 32,
}
"""GB by the data sheets, where the name does not say it; a part may be kept from programs."""


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_a_gpu_has_the_memory_that_it_is_sold_with(gpu):
    named = re.search(r"(\d+)GB", gpu.name)
    if named:
        assert gpu.memory_bytes == int(named[1]) * 2**30
    else:
        assert 0.9 * SOLD_WITH[gpu.name] <= gpu.memory_bytes / 2**30 <= SOLD_WITH[gpu.name]


def test_a_world_is_no_larger_than_event_ids_can_tell():
    assert Target(world_size=1 << 16).world_size == 65536
    with pytest.raises(UsageError, match="16 bits"):
        Target(world_size=(1 << 16) + 1)
