"""Celery with an AMQP broker: a worker in a process of its own, tasks, a chain, retries, and what a lost worker held."""

import json
import os
import signal
import subprocess
import sys
import time

from celery import Celery, chain, group

address = os.environ.get('CELERY_CHECK_ADDRESS') or sys.argv[1]
url = 'amqp://guest:guest@%s//' % address
app = Celery('celery_check', broker=url, backend='rpc://')
app.conf.task_acks_late = True
app.conf.task_reject_on_worker_lost = True
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_prefetch_multiplier = 1

workers = []


@app.task
def add(a, b):
    return a + b


@app.task(bind=True, max_retries=3, default_retry_delay=0.1)
def stubborn(self, path):
    with open(path, 'a') as file:
        file.write('x')
    with open(path) as file:
        if len(file.read()) < 3:
            raise self.retry(countdown=0.1)
    return 'done'


@app.task
def slow(path):
    with open(path, 'a') as file:
        file.write('begun ')
    time.sleep(3)
    return 'slept'


def worker():
    words = ['-m', 'celery', '-A', 'celery_check', 'worker', '-c', '1', '-P', 'prefork', '-l', 'ERROR']
    started = subprocess.Popen(
        [sys.executable] + words, env=dict(os.environ, CELERY_CHECK_ADDRESS=address),
        cwd=os.path.dirname(os.path.abspath(__file__)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    workers.append(started)
    return started


def say(name, outcome):
    print(json.dumps({'capability': 'program: ' + name, 'outcome': outcome}), flush=True)


def check(name, act):
    try:
        act()
        say(name, {'kind': 'passed'})
    except Exception as error:
        say(name, {'kind': 'failed', 'reason': repr(error)[:300]})


def equal(found, wanted):
    if found != wanted:
        raise AssertionError('%r is not %r' % (found, wanted))


def main():
    directory = sys.argv[2]
    first = worker()
    try:
        check('a task and its result', lambda: equal(add.delay(2, 3).get(timeout=30), 5))
        check('a group', lambda: equal(group(add.s(i, i) for i in range(20))().get(timeout=30), [2 * i for i in range(20)]))
        check('a chain', lambda: equal(chain(add.s(1, 2), add.s(10))().get(timeout=30), 13))
        check('a task with a countdown', lambda: equal(add.apply_async((1, 1), countdown=1).get(timeout=30), 2))
        check('retries', lambda: equal(stubborn.delay(os.path.join(directory, 'tries')).get(timeout=30), 'done'))
        check('what a killed worker held is done by the next', lambda: lost(directory, first))
    finally:
        for process in workers:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


def lost(directory, first):
    path = os.path.join(directory, 'slow')
    result = slow.delay(path)
    for _ in range(200):
        if os.path.exists(path):
            break
        time.sleep(0.05)
    os.killpg(first.pid, signal.SIGKILL)
    worker()
    equal(result.get(timeout=40), 'slept')
    with open(path) as file:
        equal(file.read(), 'begun begun ')


if __name__ == '__main__':
    main()
