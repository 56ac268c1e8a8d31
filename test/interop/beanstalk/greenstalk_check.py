"""greenstalk: what its documentation shows, and each of its exceptions that a server can cause."""

import json
import sys
import time

import greenstalk

host, port = sys.argv[1].split(':')


def client(tube, **more):
    return greenstalk.Client((host, int(port)), use=tube, watch=tube, **more)


def say(name, outcome):
    print(json.dumps({'capability': 'test: ' + name, 'outcome': outcome}), flush=True)


def check(name):
    def run(act):
        try:
            act()
            say(name, {'kind': 'passed'})
        except Exception as error:
            say(name, {'kind': 'failed', 'reason': repr(error)[:300]})
    return run


def raises(kind, act):
    try:
        act()
    except kind:
        return
    raise AssertionError('no ' + kind.__name__)


@check('put, reserve, delete')
def _():
    with client('green-1') as c:
        id = c.put('测试@example.com')
        job = c.reserve()
        assert (job.id, job.body) == (id, '测试@example.com')
        c.delete(job)
        raises(greenstalk.NotFoundError, lambda: c.peek(id))


@check('bodies of bytes')
def _():
    with client('green-2', encoding=None) as c:
        c.put(bytes(range(256)))
        job = c.reserve()
        assert job.body == bytes(range(256))
        c.delete(job)


@check('delay, priority, time to run, touch')
def _():
    with client('green-3') as c:
        c.put('b', priority=2)
        c.put('a', priority=1)
        c.put('c', priority=0, delay=1)
        assert [c.reserve().body for _ in range(2)] == ['a', 'b']
        raises(greenstalk.TimedOutError, lambda: c.reserve(timeout=0))
        began = time.monotonic()
        job = c.reserve(timeout=3)
        assert job.body == 'c' and time.monotonic() - began > 0.5
        c.touch(job)
        c.delete(job)
        c.put('short', ttr=1)
        c.reserve()
        raises(greenstalk.DeadlineSoonError, lambda: c.reserve(timeout=1))


@check('bury, kick, kick-job, release, reserve-job')
def _():
    with client('green-4') as c:
        id = c.put('x')
        job = c.reserve()
        c.bury(job)
        assert c.peek_buried().id == id
        assert c.kick(5) == 1
        job = c.reserve_job(id)
        c.release(job, delay=60)
        assert c.peek_delayed().id == id
        c.kick_job(id)
        c.delete(c.reserve(timeout=0))
        raises(greenstalk.NotFoundError, lambda: c.kick_job(id))


@check('statistics, tubes, pause')
def _():
    with client('green-5') as c:
        job = c.put('x')
        assert c.stats_job(job)['state'] == 'ready'
        assert c.stats_tube('green-5')['current-jobs-ready'] == 1
        assert c.stats()['max-job-size'] >= 65535
        assert 'green-5' in c.tubes() and c.using() == 'green-5' and c.watching() == ['green-5']
        c.pause_tube('green-5', 1)
        raises(greenstalk.TimedOutError, lambda: c.reserve(timeout=0))
        assert c.reserve(timeout=3).body == 'x'


@check('refusals: too big, not ignored, not found')
def _():
    with client('green-6') as c:
        raises(greenstalk.JobTooBigError, lambda: c.put('x' * 65536))
        raises(greenstalk.NotIgnoredError, lambda: c.ignore('green-6'))
        raises(greenstalk.NotFoundError, lambda: c.delete(2 ** 60))
        raises(greenstalk.NotFoundError, lambda: c.stats_tube('nowhere'))
