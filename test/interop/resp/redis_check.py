"""Checks of redis-py, as its own documentation uses it. One line of JSON for each."""

import json
import sys
import threading
import time

import redis

host, port = sys.argv[1].rsplit(':', 1)


def connect():
    return redis.Redis(host=host, port=int(port), decode_responses=True)


def lists():
    client = connect()
    assert client.rpush('l', 'a', 'b', 'c') == 3
    assert client.lrange('l', 0, -1) == ['a', 'b', 'c']
    assert client.lpop('l', 2) == ['a', 'b']
    assert client.lmove('l', 'm', 'LEFT', 'RIGHT') == 'c'
    waited = []
    worker = threading.Thread(target=lambda: waited.append(connect().blpop(['l'], timeout=5)))
    worker.start()
    time.sleep(0.1)
    client.rpush('l', 'late')
    worker.join()
    assert waited == [('l', 'late')], waited


def pipelines():
    client = connect()
    with client.pipeline(transaction=True) as pipe:
        results = pipe.set('k', 1).incr('k').rpush('p', 'x').lpop('p').execute()
    assert results == [True, 2, 1, 'x'], results
    with client.pipeline() as pipe:
        pipe.watch('k')
        client.set('k', 10)
        pipe.multi()
        pipe.set('k', 11)
        try:
            pipe.execute()
            raise AssertionError('the key had changed')
        except redis.WatchError:
            pass


def channels():
    client = connect()
    listener = client.pubsub(ignore_subscribe_messages=True)
    listener.subscribe('news')
    listener.psubscribe('n*')
    listener.get_message(timeout=1)
    listener.get_message(timeout=1)
    time.sleep(0.1)
    assert client.publish('news', 'hello') == 2
    seen = []
    end = time.time() + 5
    while len(seen) < 2 and time.time() < end:
        message = listener.get_message(timeout=1)
        if message:
            seen.append(message['type'])
    assert seen == ['message', 'pmessage'], seen


def locks():
    client = connect()
    assert client.set('lock', 'me', nx=True, px=50)
    assert client.set('lock', 'you', nx=True, px=50) is None
    time.sleep(0.1)
    assert client.set('lock', 'you', nx=True, px=50)


def streams():
    client = connect()
    first = client.xadd('s', {'a': '1'})
    client.xgroup_create('s', 'g', id='0')
    taken = client.xreadgroup('g', 'c', {'s': '>'}, count=10)
    assert taken == [['s', [(first, {'a': '1'})]]], taken
    assert client.xpending('s', 'g')['pending'] == 1
    assert client.xack('s', 'g', first) == 1
    assert client.xlen('s') == 1
    assert client.xrange('s') == [(first, {'a': '1'})]


def errors():
    client = connect()
    client.set('text', 'x')
    for call in (lambda: client.incr('text'), lambda: client.lpush('text', 'x'), lambda: client.hset('h', 'a', 1)):
        try:
            call()
            raise AssertionError('nothing was refused')
        except redis.ResponseError:
            pass


checks = [
    ('program: lists', lists),
    ('program: pipelines and transactions', pipelines),
    ('program: channels', channels),
    ('program: a lock', locks),
    ('program: streams', streams),
    ('errors in its own words', errors),
]
for name, run in checks:
    connect().flushall()
    try:
        run()
        outcome = {'kind': 'passed'}
    except Exception as error:  # noqa: BLE001
        outcome = {'kind': 'failed', 'reason': f'{type(error).__name__}: {error}'}
    print(json.dumps({'capability': name, 'outcome': outcome}), flush=True)
