"""Checks of Paho's Python library, as its documentation says: the port of the broker."""
import json
import os
import sys
import threading
import traceback

import paho.mqtt.client as mqtt
from paho.mqtt import publish, subscribe
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

HOST, PORT = "127.0.0.1", int(sys.argv[1])
count = 0


def fresh(kind):
    global count
    count += 1
    return f"{kind}-{os.getpid()}-{count}"


class Inbox:
    """A client in a thread of its own, and what it has got."""

    def __init__(self, protocol, **more):
        self.messages, self.flags = [], None
        self.changed = threading.Condition()
        self.connected, self.subscribed = threading.Event(), threading.Event()
        self.protocol = protocol
        self.client = mqtt.Client(protocol=protocol, **more)
        self.client.on_message = self.on_message
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_connect = self.on_connect

    def on_connect(self, client, userdata, flags, reason, properties=None):
        self.flags = flags
        self.connected.set()

    def on_message(self, client, userdata, message):
        with self.changed:
            self.messages.append(message)
            self.changed.notify_all()

    def connect(self, **more):
        self.client.connect(HOST, PORT, **more)
        self.client.loop_start()
        assert self.connected.wait(10), "not connected"
        return self

    def subscribe(self, *words, **more):
        self.subscribed.clear()
        self.client.subscribe(*words, **more)
        assert self.subscribed.wait(10), "not subscribed"

    def wait(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= number, 10), f"{len(self.messages)} of {number}"
        return self.messages

    def publish(self, *words, **more):
        self.client.publish(*words, **more).wait_for_publish()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


def exchange(protocol):
    topic = fresh("exchange")
    inbox = Inbox(protocol).connect()
    inbox.subscribe(f"{topic}/+", 2)
    for qos in (0, 1, 2):
        inbox.publish(f"{topic}/x", f"{qos}", qos=qos)
    assert [(m.payload, m.qos) for m in inbox.wait(3)] == [(b"0", 0), (b"1", 1), (b"2", 2)]
    inbox.close()


def lasting(protocol):
    topic, client_id = fresh("lasting"), fresh("client")
    if protocol == mqtt.MQTTv5:
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 60
        new, how = {"client_id": client_id}, {"clean_start": False, "properties": properties}
    else:
        new, how = {"client_id": client_id, "clean_session": False}, {}
    first = Inbox(protocol, **new).connect(**how)
    first.subscribe(topic, 1)
    first.close()
    publish.multiple([(topic, str(n), 1, False) for n in range(10)], hostname=HOST, port=PORT)
    again = Inbox(protocol, **new).connect(**how)
    assert [m.payload for m in again.wait(10)] == [str(n).encode() for n in range(10)]
    again.close()


def helpers(protocol):
    topic = fresh("helper")
    publish.single(topic, "kept", qos=1, retain=True, hostname=HOST, port=PORT)
    message = subscribe.simple(topic, hostname=HOST, port=PORT)
    assert (message.payload, message.retain) == (b"kept", True)
    publish.single(topic, None, qos=1, retain=True, hostname=HOST, port=PORT)


def will(protocol):
    topic = fresh("will")
    watcher = Inbox(protocol).connect()
    watcher.subscribe(topic, 1)
    dying = Inbox(protocol)
    dying.client.will_set(topic, "gone", qos=1)
    dying.connect()
    dying.client.loop_stop()
    dying.client._sock_close()
    assert watcher.wait(1)[0].payload == b"gone"
    watcher.close()


def properties_of_5(protocol):
    topic = fresh("properties")
    inbox = Inbox(mqtt.MQTTv5).connect()
    identified = Properties(PacketTypes.SUBSCRIBE)
    identified.SubscriptionIdentifier = 5
    inbox.subscribe(topic, options=SubscribeOptions(qos=1), properties=identified)
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType, properties.ResponseTopic, properties.CorrelationData = "text/plain", "answers", b"\x00\xff"
    properties.UserProperty = [("a", "1"), ("a", "2")]
    inbox.publish(topic, "x", qos=1, properties=properties)
    found = inbox.wait(1)[0].properties
    assert (found.ContentType, found.ResponseTopic, found.CorrelationData) == ("text/plain", "answers", b"\x00\xff")
    assert found.UserProperty == [("a", "1"), ("a", "2")] and found.SubscriptionIdentifier == [5]
    inbox.close()


def many(protocol):
    topic = fresh("many")
    inbox = Inbox(protocol).connect()
    inbox.subscribe(topic, 2)
    for number in range(500):
        last = inbox.client.publish(topic, str(number), qos=number % 3)
    last.wait_for_publish()
    assert len({m.payload for m in inbox.wait(500)}) == 500
    inbox.close()


names = {mqtt.MQTTv31: "3.1", mqtt.MQTTv311: "3.1.1", mqtt.MQTTv5: "5.0"}
checks = [(f"{run.__name__.replace('_', ' ')}, version {name}", run, protocol)
          for protocol, name in names.items() for run in (exchange, lasting, will, many)]
checks += [("helpers", helpers, None), ("properties of 5.0", properties_of_5, None)]

for name, run, protocol in checks:
    try:
        run(protocol)
        outcome = {"kind": "passed"}
    except Exception as error:
        outcome = {"kind": "failed", "reason": str(error) or traceback.format_exc(limit=1)}
    print(json.dumps({"capability": f"test: {name}", "outcome": outcome}), flush=True)
