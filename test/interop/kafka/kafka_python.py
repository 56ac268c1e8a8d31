"""Checks of kafka-python, a client written in Python alone. Takes the broker's address."""

import sys

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError

from check import equal, fresh, run, until

ADDRESS = sys.argv[1]


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
    entries = {entry[0]: entry[1] for entry in answer[0].resources[0][4]}
    equal(entries["retention.ms"], "60000")


def groups():
    topic = create_topic()
    group = fresh("kafka-python-listed")
    send(topic, numbered(10))
    reader = consumer(group)
    reader.subscribe([topic])
    take(reader, 10)
    reader.commit()
    client = admin()
    described = client.describe_consumer_groups([group])[0]
    equal((described.state, len(described.members)), ("Stable", 1))
    assert (group, "consumer") in client.list_consumer_groups()
    reader.close()
    equal(client.list_consumer_group_offsets(group)[TopicPartition(topic, 0)].offset, 10)
    until(lambda: client.describe_consumer_groups([group])[0].state == "Empty")
    equal(client.delete_consumer_groups([group])[0][1].errno, 0)


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
)
