"""stomp.py: what its documentation shows, against a broker; one line of JSON for each check, as program.ts reads them."""

import json
import queue
import sys
import time

import stomp

host, port = sys.argv[1].split(':')
made = 0


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


class Listener(stomp.ConnectionListener):
    def __init__(self):
        self.messages = queue.Queue()
        self.receipts = queue.Queue()
        self.errors = queue.Queue()
        self.beats_missed = 0

    def on_message(self, frame):
        self.messages.put(frame)

    def on_receipt(self, frame):
        self.receipts.put(frame.headers['receipt-id'])

    def on_error(self, frame):
        self.errors.put(frame)

    def on_heartbeat_timeout(self):
        self.beats_missed += 1

    def message(self):
        return self.messages.get(timeout=10)


class Client:
    def __init__(self, kind=stomp.Connection12, headers=None, **options):
        self.connection = kind([(host, int(port))], **options)
        self.listener = Listener()
        self.connection.set_listener('', self.listener)
        self.connection.connect('guest', 'guest', wait=True, headers=headers or {})

    def __enter__(self):
        return self.connection, self.listener

    def __exit__(self, *_):
        if self.connection.is_connected():
            self.connection.disconnect()


def fresh(kind='queue'):
    global made
    made += 1
    return '/%s/stomp.py-%d-%d' % (kind, time.time(), made)


def sent(connection, listener, destination, body, **headers):
    receipt = 'r%d' % time.time_ns()
    connection.send(destination, body, receipt=receipt, headers=headers)
    assert listener.receipts.get(timeout=10) == receipt


for kind in (stomp.Connection10, stomp.Connection11, stomp.Connection12):
    @check('send, subscribe, acknowledge, ' + kind.__name__)
    def _():
        with Client(kind) as (c, l):
            q = fresh()
            c.subscribe(q, id='1', ack='client')
            sent(c, l, q, 'größe', colour='red')
            frame = l.message()
            assert (frame.body, frame.headers['colour']) == ('größe', 'red'), frame
            if kind is stomp.Connection12:
                c.ack(frame.headers['ack'])
            elif kind is stomp.Connection11:
                c.ack(frame.headers['message-id'], '1')
            else:
                c.ack(frame.headers['message-id'])
            c.unsubscribe('1')


@check('headers with every sign')
def _():
    with Client() as (c, l):
        q = fresh()
        c.subscribe(q, id='1')
        c.send(q, '', headers={'special': 'a:b\\c\nd\re'})
        frame = l.message()
        assert frame.headers['special'] == 'a:b\\c\nd\re', frame.headers


@check('bytes')
def _():
    with Client(auto_decode=False) as (c, l):
        q = fresh()
        c.subscribe(q, id='1')
        c.send(q, bytes(range(256)))
        assert l.message().body == bytes(range(256))


@check('NACK, and what comes back')
def _():
    with Client() as (c, l):
        q = fresh()
        c.subscribe(q, id='1', ack='client-individual')
        c.send(q, 'x')
        c.nack(l.message().headers['ack'])
        frame = l.message()
        assert frame.headers['redelivered'] == 'true', frame.headers
        c.ack(frame.headers['ack'])


@check('transactions')
def _():
    with Client() as (c, l):
        q = fresh()
        c.subscribe(q, id='1')
        aborted = c.begin()
        c.send(q, 'never', transaction=aborted)
        c.abort(aborted)
        committed = c.begin()
        c.send(q, '1', transaction=committed)
        c.send(q, '2', transaction=committed)
        c.commit(committed)
        assert [l.message().body, l.message().body] == ['1', '2']


@check('a durable subscription')
def _():
    topic = fresh('topic')
    headers = {'durable': 'true', 'auto-delete': 'false'}
    with Client() as (c, l):
        c.subscribe(topic, id='lasting', headers=headers, receipt='s')
        assert l.receipts.get(timeout=10) == 's'
    with Client() as (c, l):
        sent(c, l, topic, 'kept')
        c.subscribe(topic, id='lasting', headers=headers)
        assert l.message().body == 'kept'
        c.unsubscribe('lasting', headers={'durable': 'true'})


@check('a selector')
def _():
    with Client() as (c, l):
        q = fresh()
        c.subscribe(q, id='1', headers={'selector': "colour IN ('red', 'blue') AND size > 5"})
        for colour, size in (('red', '5'), ('green', '6'), ('blue', '6')):
            sent(c, l, q, colour + size, colour=colour, size=size)
        assert l.message().body == 'blue6'
        assert l.messages.empty()


@check('heart-beats')
def _():
    with Client(heartbeats=(300, 300)) as (c, l):
        time.sleep(2)
        assert c.is_connected() and l.beats_missed == 0


@check('answers')
def _():
    with Client() as (asking, asked), Client() as (answering, questions):
        q = fresh()
        answering.subscribe(q, id='1')
        asking.send(q, '?', headers={'reply-to': '/temp-queue/mine'})
        answering.send(questions.message().headers['reply-to'], '!')
        assert asked.message().body == '!'


@check('errors')
def _():
    with Client() as (c, l):
        c.subscribe('/amq/queue/absent', id='1')
        frame = l.errors.get(timeout=10)
        assert frame.headers['message'] == 'not_found', frame.headers
