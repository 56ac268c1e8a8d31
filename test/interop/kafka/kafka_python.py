"""Checks of kafka-python, a client written in Python alone. Takes the broker's address."""

import json
import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError
from kafka.structs import OffsetAndMetadata

from check import equal, fresh, run, until

ADDRESS = sys.argv[1]
SECURE = json.loads(sys.argv[2])

try:
    from kafka.net.sasl.oauth import AbstractTokenProvider
except ImportError:
    from kafka.oauth.abstract import AbstractTokenProvider

# Version 2.0 of Debian has other names for what administrates groups, and no transactions.
MODERN = hasattr(KafkaAdminClient, "list_groups")


def admin():
    return KafkaAdminClient(bootstrap_servers=ADDRESS)


def create_topic(partitions=1, configs=None):
    topic = fresh("kafka-python")
    admin().create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
    return topic


def send(topic, values, **settings):
    producer = KafkaProducer(bootstrap_servers=ADDRESS, **settings)
    futures = [producer.send(topic, value) if isinstance(value, bytes) else producer.send(topic, **value) for value in values]
    producer.flush(30)
    for future in futures:
        future.get(30)
    producer.close()


def consumer(group=None, **settings):
    return KafkaConsumer(
        bootstrap_servers=ADDRESS,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6000,
        heartbeat_interval_ms=200,
        fetch_max_wait_ms=200,
        **settings
    )


def take(reader, count):
    seen = []
    while len(seen) < count:
        for records in reader.poll(100).values():
            seen.extend(records)
    return seen


def read(topic, count):
    reader = consumer()
    reader.assign([TopicPartition(topic, 0)])
    reader.seek_to_beginning()
    seen = take(reader, count)
    reader.close()
    return seen


def numbered(count, start=0):
    return [b"value %d" % (start + i) for i in range(count)]


def codec(name):
    def check():
        topic = create_topic()
        values = numbered(300) + [b"x" * 200000]
        send(topic, values, compression_type=name)
        equal([record.value for record in read(topic, len(values))], values)

    return check


def whole_records():
    topic = create_topic()
    at = 1700000000123
    send(
        topic,
        [
            {"key": b"a", "value": b"one", "headers": [("trace", b"x")], "timestamp_ms": at},
            {"value": b"", "timestamp_ms": at},
            {"key": b"a", "value": None, "timestamp_ms": at},
        ],
    )
    seen = [(record.key, record.value, record.timestamp, record.headers) for record in read(topic, 3)]
    equal(seen, [(b"a", b"one", at, [("trace", b"x")]), (None, b"", at, []), (b"a", None, at, [])])


def every_acks():
    topic = create_topic()
    for acks in (0, 1, "all"):
        send(topic, [str(acks).encode()], acks=acks)
    equal([record.value for record in read(topic, 3)], [b"0", b"1", b"all"])


def offsets():
    topic = create_topic()
    send(topic, numbered(10))
    reader, part = consumer(), TopicPartition(topic, 0)
    equal((reader.beginning_offsets([part])[part], reader.end_offsets([part])[part]), (0, 10))
    reader.close()


def offsets_by_time():
    topic = create_topic()
    base = 1700000000000
    send(topic, [{"value": b"%d" % i, "timestamp_ms": base + i * 1000} for i in range(5)], linger_ms=0)
    reader, part = consumer(), TopicPartition(topic, 0)
    equal(reader.offsets_for_times({part: base + 1500})[part].offset, 2)
    equal(reader.offsets_for_times({part: base + 9000})[part], None)
    reader.close()


def resume():
    topic = create_topic()
    group = fresh("kafka-python-resume")

    def some(count):
        reader = consumer(group)
        reader.subscribe([topic])
        seen = take(reader, count)
        reader.commit()
        reader.close()
        return [record.value for record in seen]

    send(topic, numbered(10))
    equal(len(some(10)), 10)
    send(topic, numbered(10, 10))
    equal(some(10), numbered(10, 10))


def rebalance():
    topic = create_topic(4)
    group = fresh("kafka-python-group")
    first, second = consumer(group), consumer(group)

    def shares(*counts):
        def look():
            for reader in (first, second)[: len(counts)]:
                reader.poll(50)
            return tuple(len(reader.assignment()) for reader in (first, second)[: len(counts)]) == counts

        return look

    first.subscribe([topic])
    until(shares(4))
    first.close()
    second.subscribe([topic])

    def alone():
        second.poll(50)
        return len(second.assignment()) == 4

    until(alone)
    second.close()


def topics():
    topic = create_topic(3)
    client = admin()
    assert topic in client.list_topics()
    equal(len(client.describe_topics([topic])[0]["partitions"]), 3)
    try:
        client.create_topics([NewTopic(topic, 1, 1)])
        assert False, "a second topic of the same name was made"
    except TopicAlreadyExistsError:
        pass
    client.delete_topics([topic])
    until(lambda: topic not in client.list_topics())
    try:
        client.delete_topics([topic])
        assert False, "an absent topic was deleted"
    except UnknownTopicOrPartitionError:
        pass


def partitions():
    topic = create_topic()
    client = admin()
    client.create_partitions({topic: NewPartitions(4)})
    until(lambda: len(client.describe_topics([topic])[0]["partitions"]) == 4)


def configs():
    topic = create_topic(1, {"retention.ms": "60000"})
    answer = admin().describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    if MODERN:
        equal(answer["topic"][topic]["retention.ms"]["value"], "60000")
    else:
        entries = {entry[0]: entry[1] for entry in answer[0].resources[0][4]}
        equal(entries["retention.ms"], "60000")


def described(client, group):
    """State and number of members."""
    if MODERN:
        found = client.describe_groups([group])[group]
        return found["group_state"], len(found["members"])
    found = client.describe_consumer_groups([group])[0]
    return found.state, len(found.members)


def listed(client):
    if MODERN:
        return [(found["group_id"], found["protocol_type"]) for found in client.list_groups()]
    return client.list_consumer_groups()


def groups():
    topic = create_topic()
    group = fresh("kafka-python-listed")
    send(topic, numbered(10))
    reader = consumer(group)
    reader.subscribe([topic])
    take(reader, 10)
    reader.commit()
    client = admin()
    equal(described(client, group), ("Stable", 1))
    assert (group, "consumer") in listed(client)
    reader.close()
    until(lambda: described(client, group)[0] == "Empty")
    if MODERN:
        equal(client.list_group_offsets(group)[group][TopicPartition(topic, 0)].offset, 10)
        equal(client.delete_groups([group]), {group: "OK"})
    else:
        equal(client.list_consumer_group_offsets(group)[TopicPartition(topic, 0)].offset, 10)
        equal(client.delete_consumer_groups([group])[0][1].errno, 0)


def group_offsets():
    topic = create_topic(2)
    group = fresh("kafka-python-offsets")
    client = admin()
    part = TopicPartition(topic, 0)
    client.alter_group_offsets(group, {part: OffsetAndMetadata(7, "", -1)})
    equal(client.list_group_offsets(group)[group][part].offset, 7)
    client.delete_group_offsets(group, [part])
    assert part not in client.list_group_offsets(group)[group]


def delete_records():
    topic = create_topic()
    send(topic, numbered(10))
    admin().delete_records({TopicPartition(topic, 0): 6})
    equal([record.offset for record in read(topic, 4)], [6, 7, 8, 9])


def cluster():
    found = admin().describe_cluster()
    equal(len(found["brokers"]), 1)
    assert found["cluster_id"]


def idempotent():
    topic = create_topic()
    send(topic, numbered(2000), enable_idempotence=True, batch_size=2000)
    equal([record.value for record in read(topic, 2000)], numbered(2000))


def transactional(name):
    producer = KafkaProducer(bootstrap_servers=ADDRESS, transactional_id=name)
    producer.init_transactions()
    return producer


def committed(topic, count):
    """Values as a reader of committed records sees them."""
    reader = consumer(isolation_level="read_committed")
    reader.assign([TopicPartition(topic, 0)])
    reader.seek_to_beginning()
    seen = [record.value for record in take(reader, count)]
    equal(reader.poll(500), {})
    reader.close()
    return seen


def transactions():
    topic = create_topic()
    producer = transactional(fresh("kafka-python-tx"))
    for word, end in ((b"one", producer.commit_transaction), (b"no", producer.abort_transaction), (b"two", producer.commit_transaction)):
        producer.begin_transaction()
        for _ in range(3):
            producer.send(topic, word)
        producer.flush()
        end()
    producer.close()
    equal(committed(topic, 6), [b"one"] * 3 + [b"two"] * 3)
    equal(len(read(topic, 9)), 9)


def transactional_offsets():
    topic = create_topic()
    group = fresh("kafka-python-tx-group")
    part = TopicPartition(topic, 0)
    producer = transactional(fresh("kafka-python-tx"))
    offset = lambda: admin().list_group_offsets(group)[group].get(part)
    for number, end in ((5, producer.commit_transaction), (9, producer.abort_transaction)):
        producer.begin_transaction()
        producer.send(topic, b"x")
        producer.send_offsets_to_transaction({part: OffsetAndMetadata(number, "", -1)}, group)
        end()
        until(lambda: offset() is not None and offset().offset == 5)
    producer.close()


def zombie():
    topic = create_topic()
    name = fresh("kafka-python-zombie")
    old = transactional(name)
    old.begin_transaction()
    old.send(topic, b"old")
    old.flush()
    new = transactional(name)
    new.begin_transaction()
    new.send(topic, b"new")
    new.commit_transaction()
    try:
        old.send(topic, b"late").get(20)
        old.commit_transaction()
        assert False, "a producer that was replaced could commit"
    except KafkaError:
        pass
    equal(committed(topic, 1), [b"new"])


def secured(tls, mechanism=None, password=None):
    """Settings of a client of the broker that asks who one is."""
    given = {"bootstrap_servers": SECURE["tls" if tls else "plain"]}
    given["security_protocol"] = ("SASL_" if mechanism else "") + ("SSL" if tls else "PLAINTEXT")
    if tls:
        given["ssl_cafile"] = SECURE["authority"]
    if mechanism == "OAUTHBEARER":
        given.update(sasl_mechanism=mechanism, sasl_oauth_token_provider=Token())
    elif mechanism:
        given.update(sasl_mechanism=mechanism, sasl_plain_username=SECURE["user"], sasl_plain_password=password or SECURE["password"])
    else:
        given.update(ssl_certfile=SECURE["certificate"], ssl_keyfile=SECURE["key"])
    return given


class Token(AbstractTokenProvider):
    """Hands out the one token that there is."""

    def token(self):
        return SECURE["token"]


def exchange(settings):
    """Publishes and consumes with them."""
    topic = fresh("kafka-python-secure")
    KafkaAdminClient(**settings).create_topics([NewTopic(topic, 1, 1)])
    producer = KafkaProducer(**settings)
    producer.send(topic, b"secret").get(20)
    producer.close()
    reader = KafkaConsumer(**settings, auto_offset_reset="earliest")
    reader.assign([TopicPartition(topic, 0)])
    equal([record.value for record in take(reader, 1)], [b"secret"])
    reader.close()


def sasl(mechanism):
    def check():
        for tls in (False, True):
            exchange(secured(tls, mechanism))
        if mechanism != "OAUTHBEARER":
            try:
                KafkaAdminClient(**secured(False, mechanism, "wrong"))
                assert False, "a wrong password was taken"
            except KafkaError:
                pass

    return check


SECURE_CHECKS = [
    ("TLS", lambda: exchange(secured(True, "PLAIN"))),
    ("TLS with client certificate", lambda: exchange(secured(True))),
] + [("SASL " + mechanism, sasl(mechanism)) for mechanism in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")]

MODERN_CHECKS = [
    ("idempotent producer", idempotent),
    ("transactions: commit and abort", transactions),
    ("transactions: offsets of a group", transactional_offsets),
    ("transactions: a zombie is fenced", zombie),
    ("admin: offsets of a group", group_offsets),
    ("admin: delete records", delete_records),
    ("admin: cluster", cluster),
]

run(
    [("codec %s" % (name or "none"), codec(name)) for name in (None, "gzip")]
    + [
        ("headers, keys, timestamps, tombstones", whole_records),
        ("acks 0, 1, all", every_acks),
        ("offsets: earliest, latest", offsets),
        ("offsets by time", offsets_by_time),
        ("group: commit and resume", resume),
        ("group: members come and go", rebalance),
        ("admin: topics", topics),
        ("admin: partitions", partitions),
        ("admin: configs", configs),
        ("admin: groups", groups),
    ]
    + (MODERN_CHECKS if MODERN else [])
    + (SECURE_CHECKS if SECURE else [])
)
