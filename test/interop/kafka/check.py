"""What the checks of the Python clients share: names, limits, and one JSON line per outcome."""

import json
import os
import signal
import sys
import time

CHECK_SECONDS_MAX = 60
_names = 0


def fresh(kind):
    """A name that no other check and no other run on the same broker uses."""
    global _names
    _names += 1
    return "%s-%d-%d" % (kind, os.getpid(), _names)


def until(condition):
    """Waits until a condition holds; the check's own limit ends it otherwise."""
    while True:
        value = condition()
        if value:
            return value
        time.sleep(0.02)


def equal(actual, expected):
    assert actual == expected, "%r is not %r" % (actual, expected)


def _late(_number, _frame):
    raise TimeoutError("nothing after %d s" % CHECK_SECONDS_MAX)


def run(checks):
    """Runs (capability, function) pairs one after another and prints what became of each."""
    signal.signal(signal.SIGALRM, _late)
    for capability, check in checks:
        signal.alarm(CHECK_SECONDS_MAX)
        try:
            check()
            outcome = {"kind": "passed"}
        except Exception as error:  # Whatever a client throws is this check's result.
            outcome = {"kind": "failed", "reason": "%s: %s" % (type(error).__name__, error)}
        signal.alarm(0)
        print(json.dumps({"capability": capability, "outcome": outcome}), flush=True)
    # A client's threads may still wait for something after a failure.
    sys.stdout.flush()
    os._exit(0)
