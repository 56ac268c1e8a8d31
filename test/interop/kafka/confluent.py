"""Checks of confluent-kafka-python (librdkafka). Takes the broker's address."""

import json
import os
import signal
import subprocess
import sys
import time

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewPartitions, NewTopic

from check import equal, fresh, run, until

ADDRESS = sys.argv[1]
SECURE = json.loads(sys.argv[2]) if len(sys.argv) == 3 else None
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
    """A setting of None is left to the library."""
    every = {
        **BASE,
        "group.id": group,
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 6000,
        "heartbeat.interval.ms": 200,
        "fetch.wait.max.ms": 200,
        **{k.replace("_", "."): v for k, v in settings.items()},
    }
    return Consumer({name: value for name, value in every.items() if value is not None})


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


def transactional(name):
    producer = Producer({**BASE, "transactional.id": name, "transaction.timeout.ms": 30000})
    producer.init_transactions(30)
    return producer


def committed_values(topic, count):
    """What a reader of committed records sees, and that it sees no more."""
    reader = consumer(fresh("confluent-committed"), isolation_level="read_committed", enable_partition_eof=True)
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    seen = []
    while True:
        message = reader.poll(0.1)
        if message is None:
            continue
        if message.error():
            equal(message.error().code(), KafkaError._PARTITION_EOF)
            if len(seen) >= count:
                break
            continue
        seen.append(message)
    reader.close()
    return values(seen)


def transactions():
    topic = create_topic()
    producer = transactional(fresh("confluent-tx"))
    for word, end in (("one", producer.commit_transaction), ("no", producer.abort_transaction), ("two", producer.commit_transaction)):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(topic, word)
        producer.flush(20)  # An abort would purge what was not sent yet.
        end(20)
    equal(committed_values(topic, 6), ["one"] * 3 + ["two"] * 3)
    reader = consumer(fresh("confluent-all"), isolation_level="read_uncommitted")
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    equal(len(take(reader, 9)), 9)
    reader.close()


def transactional_offsets():
    source, target = create_topic(), create_topic()
    group = fresh("confluent-tx-group")
    send(source, numbered(10))
    producer = transactional(fresh("confluent-tx"))

    def step(end):
        """Copies what is there in one transaction; its values."""
        reader = consumer(group)
        reader.subscribe([source])
        seen = take(reader, 5)[:5]
        producer.begin_transaction()
        for message in seen:
            producer.produce(target, message.value())
        places = [TopicPartition(source, 0, seen[-1].offset() + 1)]
        producer.send_offsets_to_transaction(places, reader.consumer_group_metadata(), 20)
        producer.flush(20)
        end(20)
        reader.close()
        return values(seen)

    everything = [record["value"] for record in numbered(10)]
    equal(step(producer.abort_transaction), everything[:5])
    equal(step(producer.commit_transaction), everything[:5])
    equal(step(producer.commit_transaction), everything[5:])
    equal(committed_values(target, 10), everything)


def zombie():
    topic = create_topic()
    name = fresh("confluent-zombie")
    old = transactional(name)
    old.begin_transaction()
    old.produce(topic, "old")
    old.flush(20)
    new = transactional(name)
    new.begin_transaction()
    new.produce(topic, "new")
    new.commit_transaction(20)
    try:
        old.produce(topic, "late")
        old.commit_transaction(20)
        assert False, "a producer that was replaced could commit"
    except KafkaException as error:
        assert error.args[0].fatal(), error
    equal(committed_values(topic, 1), ["new"])


def new_protocol(**settings):
    return {"group_protocol": "consumer", "session_timeout_ms": None, "heartbeat_interval_ms": None, **settings}


def by_pattern():
    prefix = fresh("confluent-pattern")
    names = ["%s-%d" % (prefix, i) for i in range(2)]
    done(admin().create_topics([NewTopic(name, 2, 1) for name in names]))
    reader = consumer(fresh("confluent-pattern-group"), **new_protocol())
    reader.subscribe(["^%s-.*" % prefix])

    def assigned(count):
        def look():
            reader.poll(0.01)
            return len(reader.assignment()) == count

        return look

    until(assigned(4))
    done(admin().create_topics([NewTopic("%s-more" % prefix, 3, 1)]))
    until(assigned(7))
    reader.close()


def share_group():
    topic = create_topic()
    group = fresh("confluent-share")
    resource = ConfigResource(ConfigResource.Type.GROUP, group)
    earliest = ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
    resource.add_incremental_config(earliest)
    done(admin().incremental_alter_configs([resource]))
    send(topic, numbered(12))
    settings = {**BASE, "group.id": group, "share.acknowledgement.mode": "explicit"}
    reader = ShareConsumer(settings)
    reader.subscribe([topic])
    accepted, rejected, deliveries = [], [], {}
    while len(accepted) + len(rejected) < 12:
        for message in reader.poll(0.2):
            assert message.error() is None, message.error()
            value = message.value().decode()
            deliveries[value] = deliveries.get(value, 0) + 1
            number = int(value.split()[1])
            if number % 4 == 3:
                rejected.append(value)
                reader.acknowledge(message, AcknowledgeType.REJECT)
            elif number % 4 == 2 and deliveries[value] == 1:
                reader.acknowledge(message, AcknowledgeType.RELEASE)
            else:
                accepted.append(value)
                reader.acknowledge(message, AcknowledgeType.ACCEPT)
        assert all(error is None for error in reader.commit_sync(20).values())
    reader.close()
    equal(sorted(accepted + rejected), sorted(record["value"] for record in numbered(12)))
    equal(sorted(value for value, count in deliveries.items() if count == 2), ["value 10", "value 2", "value 6"])
    after = ShareConsumer(settings)
    after.subscribe([topic])
    equal(len(after.poll(2)), 0)
    after.close()


def compaction():
    """Two keys are written again and again; a reader from the start sees less and less of what they were."""
    quick = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "segment.bytes": "1048576",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "500",
    }
    topic = create_topic(1, quick)
    latest = {}

    def write(number):
        batch = [{"key": "k%d" % (i % 2), "value": "%d of %d" % (i, number)} for i in range(20)]
        send(topic, batch)
        latest.update((record["key"], record["value"]) for record in batch)

    def compacted():
        write(compacted.writes)
        compacted.writes += 1
        time.sleep(0.5)
        seen = list(committed_records(topic))
        equal({message.key().decode(): message.value().decode() for message in seen}, latest)
        return len(seen) < 20 * compacted.writes

    compacted.writes = 0
    until(compacted)
    try:
        send(topic, [{"value": "a record without key"}])
        assert False, "a record without key was taken"
    except AssertionError as error:
        assert "INVALID_RECORD" in str(error), error


def committed_records(topic):
    """All records that are there now."""
    reader = consumer(fresh("confluent-scan"), enable_partition_eof=True)
    reader.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
    while True:
        message = reader.poll(0.1)
        if message is None:
            continue
        if message.error():
            equal(message.error().code(), KafkaError._PARTITION_EOF)
            break
        yield message
    reader.close()


def delete_records():
    topic = create_topic()
    send(topic, numbered(10))
    done(admin().delete_records([TopicPartition(topic, 0, 6)]))
    equal([message.offset() for message in read(topic, 4)], [6, 7, 8, 9])


def secured(tls=False, **settings):
    """Settings of a client of the broker that asks who one is."""
    given = {"bootstrap.servers": SECURE["tls" if tls else "plain"], "log_level": 0}
    protocol = ("SASL_" if "sasl_mechanism" in settings else "") + ("SSL" if tls else "PLAINTEXT")
    given["security.protocol"] = protocol
    if tls:
        given["ssl.ca.location"] = SECURE["authority"]
    given.update((name.replace("_", "."), value) for name, value in settings.items())
    if settings.get("sasl_mechanism") == "OAUTHBEARER":
        given["oauth_cb"] = lambda _: (SECURE["token"], time.time() + 3000)
    return given


def password(mechanism, **settings):
    names = {"sasl_username": SECURE["user"], "sasl_password": SECURE["password"], **settings}
    return {"sasl_mechanism": mechanism, **names}


def exchange(settings):
    """Publishes and consumes with them."""
    topic = fresh("confluent-secure")
    client = AdminClient(dict(settings))
    if "oauth_cb" in settings:
        client.poll(1)  # Calls back for the token.
    done(client.create_topics([NewTopic(topic, 1, 1)]))
    producer = Producer(dict(settings))
    producer.produce(topic, "secret")
    equal(producer.flush(20), 0)
    reader = Consumer({**settings, "group.id": topic, "auto.offset.reset": "earliest"})
    reader.subscribe([topic])
    equal(values(take(reader, 1)), ["secret"])
    reader.close()


def sasl(mechanism):
    def check():
        credentials = {"sasl_mechanism": mechanism} if mechanism == "OAUTHBEARER" else password(mechanism)
        for tls in (False, True):
            exchange(secured(tls, **credentials))
        if mechanism != "OAUTHBEARER":
            refused(secured(**password(mechanism, sasl_password="wrong")))

    return check


def refused(settings):
    errors = []
    reader = Consumer({**settings, "group.id": "refused", "error_cb": lambda error: errors.append(error.code())})
    until(lambda: reader.poll(0.05) or KafkaError._AUTHENTICATION in errors)
    reader.close()


def permissions():
    """Somebody without any right gets one by a rule."""
    topic = fresh("confluent-ruled")
    root = AdminClient(secured(**password("PLAIN")))
    done(root.create_topics([NewTopic(topic, 1, 1)]))
    stranger = secured(**password("SCRAM-SHA-256", sasl_username=SECURE["stranger"], sasl_password=SECURE["strangerPassword"]))

    def write():
        errors = []
        producer = Producer({**stranger, "message.timeout.ms": 10000})
        producer.produce(topic, "x", on_delivery=lambda error, _: errors.append(error and error.name()))
        producer.flush(15)
        return errors[0]

    equal(write(), "TOPIC_AUTHORIZATION_FAILED")
    rule = (ResourceType.TOPIC, topic, ResourcePatternType.LITERAL, "User:" + SECURE["stranger"], "*")
    done(root.create_acls([AclBinding(*rule, AclOperation.WRITE, AclPermissionType.ALLOW)]))
    equal(write(), None)


SECURE_CHECKS = [
    ("TLS with client certificate", lambda: exchange(secured(True, ssl_certificate_location=SECURE["certificate"], ssl_key_location=SECURE["key"]))),
    ("TLS", lambda: exchange(secured(True, **password("PLAIN")))),
    ("SASL PLAIN", sasl("PLAIN")),
    ("SASL SCRAM-SHA-256", sasl("SCRAM-SHA-256")),
    ("SASL SCRAM-SHA-512", sasl("SCRAM-SHA-512")),
    ("SASL OAUTHBEARER", sasl("OAUTHBEARER")),
]


class Member:
    """A consumer in a process of its own, which can be stopped like any other."""

    def __init__(self, group, topic, **settings):
        words = [ADDRESS, "member", group, topic, json.dumps(settings)]
        self.process = subprocess.Popen([sys.executable, __file__] + words, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.text = b""

    def look(self):
        self.text += self.process.stdout.read() or b""
        return [line.split(" ", 1) for line in self.text.decode().split("\n")[:-1]]

    def share(self):
        shares = [int(word[1]) for word in self.look() if word[0] == "share"]
        return shares[-1] if shares else 0

    def seen(self):
        return {word[1] for word in self.look() if word[0] == "record"}

    def fenced(self):
        return any(word[0] == "fenced" for word in self.look())

    def signal(self, number):
        self.process.send_signal(number)


def be_member(group, topic, settings):
    """The program of a member: tells how many partitions it has, and what it has read and committed."""
    reader = consumer(group, **settings)
    reader.subscribe([topic])
    share = None
    while True:
        message = reader.poll(0.05)
        if share != len(reader.assignment()):
            share = len(reader.assignment())
            print("share %d" % share, flush=True)
        if message is None:
            continue
        if message.error():
            if message.error().code() in (KafkaError.FENCED_INSTANCE_ID, KafkaError._FATAL):
                print("fenced 1", flush=True)
                return
            continue
        print("record %s" % message.value().decode(), flush=True)
        try:
            reader.commit(message=message, asynchronous=False)
        except KafkaException:
            pass  # It has lost the partition: whoever has it now reads it again.


def bad_members(protocols):
    def check():
        for settings in protocols:
            topic = create_topic(4)
            group = fresh("confluent-bad")
            members = [Member(group, topic, **settings) for _ in range(2)]
            first, second = members
            until(lambda: (first.share(), second.share()) == (2, 2))
            send(topic, numbered(40))
            first.signal(signal.SIGSTOP)
            until(lambda: second.share() == 4)  # Others go on without the one that is paused,
            send(topic, numbered(40, 40))
            first.signal(signal.SIGCONT)
            until(lambda: (first.share(), second.share()) == (2, 2))  # and take it in again.
            first.signal(signal.SIGKILL)
            until(lambda: second.share() == 4)
            send(topic, numbered(40, 80))
            until(lambda: len(first.seen() | second.seen()) == 120)
            second.signal(signal.SIGKILL)
            # Two that say they are the same one: the group keeps one of them.
            twins = [Member(group, topic, group_instance_id="twin", **settings)]
            until(lambda: twins[0].share() == 4)
            twins.append(Member(group, topic, group_instance_id="twin", **settings))
            until(lambda: any(twin.fenced() for twin in twins))
            for twin in twins:
                twin.signal(signal.SIGKILL)
            for member in members + twins:
                member.process.wait()

    return check


MODERN = hasattr(confluent_kafka, "ShareConsumer")
if MODERN:
    from confluent_kafka import AcknowledgeType, ShareConsumer
    from confluent_kafka.admin import (
        AclBinding,
        AclOperation,
        AclPermissionType,
        AlterConfigOpType,
        ConfigEntry,
        ResourcePatternType,
        ResourceType,
    )

MODERN_CHECKS = [
    ("group: new protocol", lambda: rebalance(**new_protocol())),
    ("group: new protocol, subscription by pattern", by_pattern),
    ("share group", share_group),
    ("admin: delete records", delete_records),
]

if len(sys.argv) > 3:
    be_member(sys.argv[3], sys.argv[4], json.loads(sys.argv[5]))
    sys.exit()


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
        ("transactions: commit and abort", transactions),
        ("transactions: offsets of a group", transactional_offsets),
        ("transactions: a zombie is fenced", zombie),
        ("log compaction", compaction),
    ]
    + [("group: a member is paused, cut, duplicated", bad_members([{}]))]
    + (MODERN_CHECKS if MODERN else [])
    + (SECURE_CHECKS if SECURE else [])
    + ([("permissions", permissions)] if SECURE and MODERN else [])
)
