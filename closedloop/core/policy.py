"""The policy: which trial is next, is a pulse wanted now, is this one of the best chances."""

import math

from closedloop.core.reasons import Reason
from closedloop.core.state import Core
from closedloop.jit import inlined, inner

SD_FLOOR = math.radians(1.0)
SD_CEILING = math.pi
"""Bounds of the running limit, so that hours without a rhythm cannot carry it away."""


@inner
def complete(core: Core) -> bool:
    """Return whether every trial of the protocol has been used."""
    return core.policy[0]["trial"] >= core.trials.size


@inner
def current_condition(core: Core) -> int:
    """Return the condition of the next trial: the one that was set, or the protocol's; -1 at the end."""
    policy = core.policy[0]
    if policy["condition"] >= 0:
        return policy["condition"]
    return -1 if complete(core) else core.trials[policy["trial"]]["condition"]


@inner
def current_target(core: Core) -> float:
    """Return the next trial's target phase in rad; at the protocol's end any, for the record: 0."""
    condition = current_condition(core)
    if condition < 0:
        return 0.0
    target = core.conditions[condition]["target"]
    if not math.isnan(target):
        return target
    if complete(core):
        return 0.0
    return core.trials[core.policy[0]["trial"]]["random_target"]


@inlined
def is_paused(core: Core) -> bool:
    """Return whether the operator has paused: no pulse is wanted, not of a train that has begun either."""
    return core.policy[0]["paused"] != 0


@inner
def wanted(core: Core) -> Reason:
    """Return why no pulse is wanted at the plan's due time, or NONE."""
    policy = core.policy[0]
    if is_paused(core):
        return Reason.PAUSED
    if complete(core):
        return Reason.PROTOCOL_COMPLETE
    if not core.plan[0]["due_s"] >= policy["next_s"]:
        return Reason.INTERVAL
    return Reason.NONE


@inner
def preferred(core: Core) -> Reason:
    """Return whether the plan is among the best chances that the wanted rate allows, or why not."""
    if not core.plan[0]["sd"] <= core.policy[0]["sd_limit"]:
        return Reason.RATE
    return Reason.NONE


@inner
def use_trial(core: Core, last_due_s: float) -> None:
    """Mark the current trial used, its last pulse due at ``last_due_s``, and set what that moves."""
    policy = core.policy[0]
    policy["next_s"] = last_due_s + core.trials[policy["trial"]]["wait_s"]
    policy["trial"] += 1
    policy["sd_limit"] = max(SD_FLOOR, policy["sd_limit"] * (1.0 - policy["rate_gain"]))


@inner
def relax(core: Core) -> None:
    """Let the running limit rise with every sample; a trial lowers it, so it settles at the wanted rate."""
    policy = core.policy[0]
    if policy["rate_gain"] > 0.0 and policy["paused"] == 0:
        rise = policy["rate_gain"] * policy["wanted_hz"] * core.timing[0]["period_s"]
        policy["sd_limit"] = min(SD_CEILING, policy["sd_limit"] * (1.0 + rise))


@inlined
def is_withheld(core: Core) -> bool:
    """Return whether the current trial is a catch trial, which passes every gate and is not fired."""
    return core.trials[core.policy[0]["trial"]]["withheld"] != 0
