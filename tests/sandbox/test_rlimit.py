"""Which resource limits a sandbox starts with."""

import resource

from sandbox.contract import Limits
from sandbox.limits.rlimit import rlimits

LIMITS = Limits(processes=10)


def test_limits_never_ask_for_more_than_this_process_may_have():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    asked = dict(rlimits(Limits(open_files=2**40), own_uid=False, grouped=False))
    assert asked[resource.RLIMIT_NOFILE] == (2**40 if hard == resource.RLIM_INFINITY else hard)
    assert resource.RLIMIT_NPROC not in asked
    assert asked[resource.RLIMIT_CORE] <= 1  # less where this machine allows none at all


def test_processes_are_counted_when_the_user_id_is_the_sandbox_s_own():
    alone = dict(rlimits(LIMITS, own_uid=True, grouped=False))
    assert alone[resource.RLIMIT_NPROC] == 10


def test_where_a_group_counts_processes_it_comes_first_because_it_tells():
    grouped = dict(rlimits(LIMITS, own_uid=True, grouped=True))
    assert grouped[resource.RLIMIT_NPROC] > 10
