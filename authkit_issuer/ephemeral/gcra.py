"""The algorithm of the rate limits, for both stores: GCRA (ITU-T I.371), a token bucket of one number.

A key stores one number: the moment, in microseconds, at which it is unused again. A call moves that moment
on by one step (``window / calls``). A call that would move it further than one window ahead is refused.
"""

from __future__ import annotations

MICRO = 1_000_000
"""Microseconds in a second."""

ADMIT_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local step, span = tonumber(ARGV[1]), tonumber(ARGV[2])
local fresh = tonumber(redis.call('GET', KEYS[1]) or '0')
fresh = math.min(math.max(fresh, now), now + span)
if fresh + step > now + span then return {0, fresh - now} end
fresh = fresh + step
local ttl = math.ceil((fresh - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', fresh), 'PX', string.format('%.0f', ttl))
return {1, fresh - now}
"""
"""``admit`` in Redis, by the clock of the server. Arguments: step and span; answers: admitted, and ahead."""

GIVE_BACK_SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local fresh = tonumber(redis.call('GET', KEYS[1]) or '0') - tonumber(ARGV[1])
if fresh <= now then return redis.call('DEL', KEYS[1]) end
local ttl = math.ceil((fresh - now) / 1000)
redis.call('SET', KEYS[1], string.format('%.0f', fresh), 'PX', string.format('%.0f', ttl))
return 1
"""
"""``give_back`` in Redis. Argument: the step."""


def admit(unused_at: int, now: int, *, calls: int, span: int) -> tuple[bool, int]:
    """Count one call of a key that allows ``calls`` in ``span`` microseconds.

    Args:
        unused_at: The stored moment; 0 for an unknown key.
        now: The current moment.
        calls: The calls that the span allows.
        span: The length of the window.

    Returns:
        Whether the call is admitted, and the moment to store.
    """
    unused_at = min(max(unused_at, now), now + span)
    step = span // calls
    if unused_at + step > now + span:
        return False, unused_at
    return True, unused_at + step
