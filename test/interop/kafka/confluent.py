"""Checks of confluent-kafka-python (librdkafka). Takes the broker's address."""

import sys

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from check import equal, fresh, run, until

ADDRESS = sys.argv[1]
BASE = {"bootstrap.servers": ADDRESS, "log_level": 0}


ADMIN = AdminClient(dict(BASE))


def admin():
    """One for all checks: a client that is dropped takes its unanswered requests with it."""
    return ADMIN


def done(futures):
    for future in futures.values():
        future.result(20)


def create_topic(partitions=1, config=None):
    topic = fresh("confluent")
    done(admin().create_topics([NewTopic(topic, partitions, 1, config=config or {})]))
    return topic


def send(topic, records, **settings):
    errors = []
    producer = Producer({**BASE, **{k.replace("_", "."): v for k, v in settings.items()}})
    for record in records:
        producer.produce(topic, on_delivery=lambda error, _: error and errors.append(error), **record)
    equal(producer.flush(30), 0)
    equal(errors, [])


def consumer(group, **settings):
    return Consumer(
        {
            **BASE,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 200,
            "fetch.wait.max.ms": 200,
            **{k.replace("_", "."): v for k, v in settings.items()},
        }
    )


def take(reader, count):
    seen = []
    while len(seen) < count:
        message = reader.poll(0.1)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        seen.append(message)
    return seen


def read(topic, count):
    reader = consumer(fresh("confluent-reader"))
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    seen = take(reader, count)
    reader.close()
    return seen


def numbered(count, start=0):
    return [{"key": "k%d" % (i % 7), "value": "value %d" % (start + i)} for i in range(count)]


def values(messages):
    return [message.value().decode() for message in messages]


def codec(name):
    def check():
        topic = create_topic()
        records = numbered(300) + [{"key": "large", "value": "x" * 200000}]
        send(topic, records, compression_codec=name)
        equal(values(read(topic, len(records))), [record["value"] for record in records])

    return check


def whole_records():
    topic = create_topic()
    at = 1700000000123
    send(
        topic,
        [
            {"key": "a", "value": "one", "headers": [("trace", b"x"), ("many", b"1"), ("many", None)], "timestamp": at},
            {"value": "", "timestamp": at},
            {"key": "a", "timestamp": at},
        ],
    )
    one, empty, tombstone = read(topic, 3)
    equal((one.key(), one.timestamp()[1]), (b"a", at))
    equal(one.headers(), [("trace", b"x"), ("many", b"1"), ("many", None)])
    equal((empty.key(), empty.value()), (None, b""))
    equal((tombstone.key(), tombstone.value()), (b"a", None))


def every_acks():
    topic = create_topic()
    for acks in ("0", "1", "all"):
        send(topic, [{"value": acks}], acks=acks)
    equal(values(read(topic, 3)), ["0", "1", "all"])


def idempotent():
    topic = create_topic()
    send(topic, numbered(2000), enable_idempotence=True, batch_num_messages=50)
    equal(values(read(topic, 2000)), [record["value"] for record in numbered(2000)])


def long_poll():
    topic = create_topic()
    reader = consumer(fresh("confluent-poll"), fetch_wait_max_ms=100000, socket_timeout_ms=120000)
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    equal(reader.poll(1), None)
    send(topic, [{"value": "wake"}])
    equal(values(take(reader, 1)), ["wake"])
    send(topic, [{"value": "done"}])
    reader.close()


def offsets():
    topic = create_topic(2)
    send(topic, [{**record, "partition": 1} for record in numbered(10)])
    reader = consumer(fresh("confluent-offsets"))
    equal(reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10), (0, 0))
    equal(reader.get_watermark_offsets(TopicPartition(topic, 1), timeout=10), (0, 10))
    reader.close()


def offsets_by_time():
    topic = create_topic()
    base = 1700000000000
    for i in range(5):
        send(topic, [{"value": str(i), "timestamp": base + i * 1000}])
    reader = consumer(fresh("confluent-times"))

    def at(milliseconds):
        return reader.offsets_for_times([TopicPartition(topic, 0, milliseconds)], timeout=10)[0].offset

    equal([at(base), at(base + 1500), at(base + 4000), at(base + 9000)], [0, 2, 4, -1])
    reader.close()


def seek():
    topic = create_topic()
    send(topic, numbered(20))
    reader = consumer(fresh("confluent-seek"))
    reader.assign([TopicPartition(topic, 0, 0)])
    take(reader, 1)
    reader.seek(TopicPartition(topic, 0, 15))
    equal([message.offset() for message in take(reader, 5)], [15, 16, 17, 18, 19])
    reader.close()


def resume():
    topic = create_topic()
    group = fresh("confluent-resume")

    def some(count):
        reader = consumer(group)
        reader.subscribe([topic])
        seen = take(reader, count)
        reader.commit(asynchronous=False)
        reader.close()
        return values(seen)

    send(topic, numbered(10))
    equal(len(some(10)), 10)
    send(topic, numbered(10, 10))
    equal(some(10), [record["value"] for record in numbered(10, 10)])


def rebalance(**settings):
    topic = create_topic(4)
    group = fresh("confluent-group")
    first, second = consumer(group, **settings), consumer(group, **settings)

    def shares(*counts):
        def look():
            for reader in (first, second)[: len(counts)]:
                reader.poll(0.01)
            return tuple(len(reader.assignment()) for reader in (first, second)[: len(counts)]) == counts

        return look

    first.subscribe([topic])
    until(shares(4))
    second.subscribe([topic])
    until(shares(2, 2))
    equal(sorted(part.partition for reader in (first, second) for part in reader.assignment()), [0, 1, 2, 3])
    first.close()

    def alone():
        second.poll(0.01)
        return len(second.assignment()) == 4

    until(alone)
    second.close()


def static_member():
    topic = create_topic(2)
    group = fresh("confluent-static")
    assigned = []

    def join():
        reader = consumer(group, group_instance_id="one")
        reader.subscribe([topic], on_assign=lambda _, parts: assigned.append(len(parts)))
        until(lambda: reader.poll(0.01) or len(reader.assignment()) == 2)
        return reader

    join().close()  # Goes without leaving: its place is kept for the time of a session.
    described = admin().list_groups(group, timeout=10)[0]
    equal((described.state, len(described.members)), ("Stable", 1))
    reader = join()
    equal(len(admin().list_groups(group, timeout=10)[0].members), 1)
    reader.close()


def topics():
    topic = create_topic(3, {"retention.ms": "60000"})
    client = admin()
    equal(len(client.list_topics(topic, timeout=10).topics[topic].partitions), 3)
    done(client.delete_topics([topic]))
    until(lambda: topic not in client.list_topics(timeout=10).topics)


def partitions():
    topic = create_topic()
    client = admin()
    done(client.create_partitions([NewPartitions(topic, 4)]))
    until(lambda: len(client.list_topics(topic, timeout=10).topics[topic].partitions) == 4)


def configs():
    topic = create_topic(1, {"retention.ms": "60000"})
    client = admin()

    def read(name):
        resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
        return client.describe_configs([resource])[resource].result(10)[name].value

    equal(read("retention.ms"), "60000")
    done(client.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, topic, set_config={"max.message.bytes": "4096"})]))
    until(lambda: read("max.message.bytes") == "4096")


def groups():
    topic = create_topic()
    group = fresh("confluent-listed")
    reader = consumer(group)
    reader.subscribe([topic])
    until(lambda: reader.poll(0.01) or len(reader.assignment()) == 1)
    found = admin().list_groups(group, timeout=10)
    equal([(one.id, one.state, one.protocol_type, len(one.members)) for one in found], [(group, "Stable", "consumer", 1)])
    reader.close()


def group_offsets():
    topic = create_topic(2)
    send(topic, [{**record, "partition": 0} for record in numbered(10)])
    reader = consumer(fresh("confluent-commits"))
    reader.commit(offsets=[TopicPartition(topic, 0, 7)], asynchronous=False)
    found = reader.committed([TopicPartition(topic, 0), TopicPartition(topic, 1)], timeout=10)
    equal([part.offset for part in found], [7, -1001])
    reader.close()


def cluster():
    found = admin().list_topics(timeout=10)
    equal(len(found.brokers), 1)
    assert found.cluster_id and found.controller_id in found.brokers


def first_use():
    topic = fresh("confluent-auto")
    send(topic, [{"value": "first"}])
    equal(values(read(topic, 1)), ["first"])


def refusals():
    def name_of(futures):
        try:
            done(futures)
        except KafkaException as error:
            return error.args[0].name()

    topic = create_topic()
    equal(name_of(admin().create_topics([NewTopic(topic, 1, 1)])), "TOPIC_ALREADY_EXISTS")
    equal(name_of(admin().create_topics([NewTopic("a topic / with spaces", 1, 1)])), "TOPIC_EXCEPTION")
    equal(name_of(admin().delete_topics([fresh("absent")])), "UNKNOWN_TOPIC_OR_PART")
    try:
        send(create_topic(1, {"max.message.bytes": "2000"}), [{"value": "x" * 5000}])
        assert False, "a record beyond max.message.bytes was taken"
    except AssertionError as error:
        assert "MSG_SIZE_TOO_LARGE" in str(error), error


run(
    [("codec %s" % name, codec(name)) for name in ("none", "gzip", "snappy", "lz4", "zstd")]
    + [
        ("headers, keys, timestamps, tombstones", whole_records),
        ("acks 0, 1, all", every_acks),
        ("idempotent producer", idempotent),
        ("long poll", long_poll),
        ("offsets: earliest, latest", offsets),
        ("offsets by time", offsets_by_time),
        ("seek", seek),
        ("group: commit and resume", resume),
        ("group: members come and go", lambda: rebalance(partition_assignment_strategy="range")),
        ("group: static member", static_member),
        ("group: cooperative rebalance", lambda: rebalance(partition_assignment_strategy="cooperative-sticky")),
        ("admin: topics", topics),
        ("admin: partitions", partitions),
        ("admin: configs", configs),
        ("admin: groups", groups),
        ("admin: offsets of a group", group_offsets),
        ("admin: cluster", cluster),
        ("topic made by first use", first_use),
        ("errors in its own words", refusals),
    ]
)
