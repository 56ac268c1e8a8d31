import static java.util.stream.Collectors.toList;

import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.GroupListing;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.consumer.SubscriptionPattern;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.GroupState;
import org.apache.kafka.common.KafkaException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.TopicConfig;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.errors.InvalidProducerEpochException;
import org.apache.kafka.common.quota.ClientQuotaAlteration;
import org.apache.kafka.common.quota.ClientQuotaEntity;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Checks of Kafka's Java client. Takes the broker's address. */
public final class Clients {
    private static final Duration WAIT = Duration.ofMillis(100);
    private static final String[] CLASSIC = {"group.protocol", "classic", "session.timeout.ms", "6000", "heartbeat.interval.ms", "200"};
    private static final String[] NEW = {"group.protocol", "consumer"};
    private static Admin admin;

    public static void main(String[] args) {
        Harness.address = args[0];
        admin = Admin.create(Harness.settings());
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) Harness.check("codec " + codec, () -> codec(codec));
        Harness.check("idempotent producer", Clients::idempotent);
        Harness.check("long poll", Clients::longPoll);
        Harness.check("seek", Clients::seek);
        Harness.check("group: commit and resume", Clients::resume);
        Harness.check("group: members come and go", () -> rebalance(CLASSIC));
        Harness.check("group: cooperative rebalance", () -> rebalance(with(CLASSIC, "partition.assignment.strategy", "org.apache.kafka.clients.consumer.CooperativeStickyAssignor")));
        Harness.check("group: static member", Clients::staticMember);
        Harness.check("group: new protocol", () -> rebalance(NEW));
        Harness.check("group: new protocol, subscription by pattern", Clients::byPattern);
        Harness.check("group: from classic to new and back while it runs", Clients::migrate);
        Harness.check("share group", Clients::share);
        Harness.check("transactions: commit and abort", Clients::transactions);
        Harness.check("transactions: offsets of a group", Clients::transactionalOffsets);
        Harness.check("transactions: a zombie is fenced", Clients::zombie);
        Harness.check("log compaction", Clients::compaction);
        Harness.check("quotas", Clients::quotas);
        if (args.length > 1) Secured.checks(List.of(args).subList(1, args.length));
        Harness.run();
    }

    private static String[] with(String[] pairs, String... more) {
        List<String> all = new ArrayList<>(List.of(pairs));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    private static String createTopic(int partitions) throws Exception {
        return createTopic(Harness.fresh("java"), partitions, Map.of());
    }

    private static String createTopic(String topic, int partitions, Map<String, String> configs) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
        return topic;
    }

    private static KafkaProducer<String, String> producer(String... pairs) {
        return new KafkaProducer<>(Harness.settings(pairs), new StringSerializer(), new StringSerializer());
    }

    private static KafkaConsumer<String, String> consumer(String group, String... pairs) {
        Properties settings = Harness.settings("auto.offset.reset", "earliest", "enable.auto.commit", "false", "metadata.max.age.ms", "500");
        if (group != null) settings.put("group.id", group);
        for (int i = 0; i < pairs.length; i += 2) settings.put(pairs[i], pairs[i + 1]);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    private static void send(String topic, Collection<String> values, String... pairs) throws Exception {
        try (KafkaProducer<String, String> producer = producer(pairs)) {
            List<java.util.concurrent.Future<?>> sent = new ArrayList<>();
            for (String value : values) sent.add(producer.send(new ProducerRecord<>(topic, value)));
            for (java.util.concurrent.Future<?> one : sent) one.get();
        }
    }

    private static List<String> take(KafkaConsumer<String, String> consumer, int count) {
        List<String> seen = new ArrayList<>();
        while (seen.size() < count) for (ConsumerRecord<String, String> record : consumer.poll(WAIT)) seen.add(record.value());
        return seen;
    }

    /** Values of partition 0 from the beginning, and nothing after them in half a second. */
    private static List<String> read(String topic, int count, String... pairs) {
        try (KafkaConsumer<String, String> consumer = consumer(null, pairs)) {
            TopicPartition part = new TopicPartition(topic, 0);
            consumer.assign(List.of(part));
            consumer.seekToBeginning(List.of(part));
            List<String> seen = take(consumer, count);
            Harness.equal(consumer.poll(Duration.ofMillis(500)).count(), 0);
            return seen;
        }
    }

    private static void codec(String name) throws Exception {
        String topic = createTopic(1);
        List<String> values = new ArrayList<>(Harness.numbered(300, 0));
        values.add("x".repeat(200_000));
        send(topic, values, "compression.type", name, "linger.ms", "20");
        Harness.equal(read(topic, values.size()), values);
    }

    private static void idempotent() throws Exception {
        String topic = createTopic(1);
        List<String> values = Harness.numbered(5000, 0);
        send(topic, values, "batch.size", "2000");
        Harness.equal(read(topic, values.size()), values);
    }

    private static void longPoll() throws Exception {
        String topic = createTopic(1);
        // The wait is longer than a check may take: only a fetch that the record itself wakes can pass.
        try (KafkaConsumer<String, String> consumer = consumer(null, "fetch.max.wait.ms", "100000", "request.timeout.ms", "120000")) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            Harness.equal(consumer.poll(Duration.ofSeconds(1)).count(), 0);
            send(topic, List.of("wake"));
            Harness.equal(take(consumer, 1), List.of("wake"));
            send(topic, List.of("done"));
        }
    }

    private static void seek() throws Exception {
        String topic = createTopic(1);
        send(topic, Harness.numbered(20, 0));
        try (KafkaConsumer<String, String> consumer = consumer(null)) {
            consumer.assign(List.of(new TopicPartition(topic, 0)));
            consumer.seek(new TopicPartition(topic, 0), 15);
            Harness.equal(take(consumer, 5), Harness.numbered(5, 15));
        }
    }

    private static void resume() throws Exception {
        String topic = createTopic(1);
        String group = Harness.fresh("java-resume");
        for (int round = 0; round < 2; round++) {
            send(topic, Harness.numbered(10, round * 10));
            try (KafkaConsumer<String, String> consumer = consumer(group, round == 0 ? CLASSIC : NEW)) {
                consumer.subscribe(List.of(topic));
                Harness.equal(take(consumer, 10), Harness.numbered(10, round * 10));
                consumer.commitSync();
            }
        }
    }

    /** Polls each until their shares are as given; together they must have every partition once. */
    private static void untilShares(List<KafkaConsumer<String, String>> members, Integer... counts) throws Exception {
        Harness.until(() -> {
            for (KafkaConsumer<String, String> member : members) member.poll(Duration.ofMillis(50));
            return members.stream().map(member -> member.assignment().size()).collect(toList()).equals(List.of(counts));
        });
        Set<TopicPartition> all = new HashSet<>();
        for (KafkaConsumer<String, String> member : members) all.addAll(member.assignment());
        Harness.equal(all.size(), List.of(counts).stream().mapToInt(Integer::intValue).sum());
    }

    private static void rebalance(String[] protocol) throws Exception {
        String topic = createTopic(4);
        String group = Harness.fresh("java-group");
        KafkaConsumer<String, String> first = consumer(group, protocol);
        first.subscribe(List.of(topic));
        untilShares(List.of(first), 4);
        KafkaConsumer<String, String> second = consumer(group, protocol);
        second.subscribe(List.of(topic));
        untilShares(List.of(first, second), 2, 2);
        first.close();
        untilShares(List.of(second), 4);
        second.close();
    }

    private static void staticMember() throws Exception {
        String topic = createTopic(2);
        for (String[] protocol : new String[][] {CLASSIC, NEW}) {
            String group = Harness.fresh("java-static");
            KafkaConsumer<String, String> member = consumer(group, with(protocol, "group.instance.id", "one"));
            member.subscribe(List.of(topic));
            untilShares(List.of(member), 2);
            member.close(); // Goes without leaving: its place is kept for the time of a session.
            KafkaConsumer<String, String> again = consumer(group, with(protocol, "group.instance.id", "one"));
            again.subscribe(List.of(topic));
            untilShares(List.of(again), 2);
            Harness.equal(admin.describeConsumerGroups(List.of(group)).all().get().get(group).members().size(), 1);
            again.close();
        }
    }

    private static void byPattern() throws Exception {
        String prefix = Harness.fresh("java-pattern");
        createTopic(prefix + "-a", 2, Map.of());
        try (KafkaConsumer<String, String> member = consumer(Harness.fresh("java-group"), NEW)) {
            member.subscribe(new SubscriptionPattern(prefix + "-.*"));
            untilShares(List.of(member), 2);
            createTopic(prefix + "-b", 3, Map.of());
            untilShares(List.of(member), 5);
        }
    }

    /** A group of the classic protocol takes members of the new one, loses the old ones, and goes back again. */
    private static void migrate() throws Exception {
        String topic = createTopic(4);
        String group = Harness.fresh("java-migrate");
        KafkaConsumer<String, String> old = consumer(group, CLASSIC);
        old.subscribe(List.of(topic));
        untilShares(List.of(old), 4);
        KafkaConsumer<String, String> modern = consumer(group, NEW);
        modern.subscribe(List.of(topic));
        untilShares(List.of(old, modern), 2, 2);
        Harness.equal(typeOf(group), "Consumer");
        old.close();
        untilShares(List.of(modern), 4);
        KafkaConsumer<String, String> back = consumer(group, CLASSIC);
        back.subscribe(List.of(topic));
        untilShares(List.of(modern, back), 2, 2);
        modern.close();
        untilShares(List.of(back), 4);
        Harness.equal(typeOf(group), "Classic");
        back.close();
    }

    private static String typeOf(String group) throws Exception {
        for (GroupListing listing : admin.listGroups().all().get()) if (listing.groupId().equals(group)) return listing.type().map(Object::toString).orElse("");
        return "absent";
    }

    private static void share() throws Exception {
        String topic = createTopic(1);
        String group = Harness.fresh("java-share");
        ConfigResource resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        ConfigEntry earliest = new ConfigEntry("share.auto.offset.reset", "earliest");
        admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(earliest, AlterConfigOp.OpType.SET)))).all().get();
        send(topic, Harness.numbered(12, 0));
        Properties settings = Harness.settings("group.id", group, "share.acknowledgement.mode", "explicit");
        Map<String, Integer> deliveries = new HashMap<>();
        Set<String> accepted = new TreeSet<>();
        Set<String> rejected = new TreeSet<>();
        try (KafkaShareConsumer<String, String> consumer = new KafkaShareConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of(topic));
            while (accepted.size() + rejected.size() < 12) {
                List<ConsumerRecord<String, String>> renewed = new ArrayList<>();
                for (ConsumerRecord<String, String> record : consumer.poll(WAIT)) {
                    int times = deliveries.merge(record.value(), 1, Integer::sum);
                    if (record.offset() % 4 == 3) {
                        rejected.add(record.value());
                        consumer.acknowledge(record, AcknowledgeType.REJECT);
                    } else if (record.offset() % 4 == 2 && times == 1) {
                        consumer.acknowledge(record, AcknowledgeType.RELEASE);
                    } else {
                        accepted.add(record.value());
                        consumer.acknowledge(record, AcknowledgeType.ACCEPT);
                    }
                }
                consumer.commitSync().forEach((part, error) -> Harness.equal(error.orElse(null), null));
            }
        }
        Harness.equal(accepted.size() + rejected.size(), 12);
        Harness.equal(deliveries.values().stream().filter(times -> times == 2).count(), 3L);
        Harness.until(() -> {
            try {
                return admin.describeShareGroups(List.of(group)).all().get().get(group).groupState() == GroupState.EMPTY;
            } catch (InterruptedException | ExecutionException failure) {
                throw new IllegalStateException(failure);
            }
        });
    }

    private static KafkaProducer<String, String> transactional(String id) {
        KafkaProducer<String, String> producer = producer("transactional.id", id, "transaction.timeout.ms", "30000");
        producer.initTransactions();
        return producer;
    }

    private static void transactions() throws Exception {
        String topic = createTopic(1);
        try (KafkaProducer<String, String> producer = transactional(Harness.fresh("java-tx"))) {
            for (String word : List.of("one", "no", "two")) {
                producer.beginTransaction();
                for (int i = 0; i < 3; i++) producer.send(new ProducerRecord<>(topic, word));
                producer.flush();
                if (word.equals("no")) producer.abortTransaction();
                else producer.commitTransaction();
            }
        }
        Harness.equal(read(topic, 6, "isolation.level", "read_committed"), List.of("one", "one", "one", "two", "two", "two"));
        Harness.equal(read(topic, 9, "isolation.level", "read_uncommitted").size(), 9);
    }

    private static void transactionalOffsets() throws Exception {
        for (String[] protocol : new String[][] {CLASSIC, NEW}) {
            String source = createTopic(1);
            String target = createTopic(1);
            String group = Harness.fresh("java-tx-group");
            send(source, Harness.numbered(10, 0));
            try (KafkaProducer<String, String> producer = transactional(Harness.fresh("java-tx"))) {
                // Aborted once, then all of it.
                for (boolean commits : new boolean[] {false, true}) {
                    try (KafkaConsumer<String, String> consumer = consumer(group, with(protocol, "isolation.level", "read_committed"))) {
                        consumer.subscribe(List.of(source));
                        List<String> seen = take(consumer, 10);
                        Harness.equal(seen, Harness.numbered(10, 0));
                        producer.beginTransaction();
                        for (String value : seen) producer.send(new ProducerRecord<>(target, value));
                        Map<TopicPartition, OffsetAndMetadata> places = Map.of(new TopicPartition(source, 0), new OffsetAndMetadata(10));
                        producer.sendOffsetsToTransaction(places, consumer.groupMetadata());
                        if (commits) producer.commitTransaction();
                        else producer.abortTransaction();
                    }
                }
            }
            Harness.equal(read(target, 10, "isolation.level", "read_committed"), Harness.numbered(10, 0));
            Harness.equal(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().get(new TopicPartition(source, 0)).offset(), 10L);
        }
    }

    private static void zombie() throws Exception {
        String topic = createTopic(1);
        String id = Harness.fresh("java-zombie");
        KafkaProducer<String, String> old = transactional(id);
        old.beginTransaction();
        old.send(new ProducerRecord<>(topic, "old")).get();
        try (KafkaProducer<String, String> young = transactional(id)) {
            young.beginTransaction();
            young.send(new ProducerRecord<>(topic, "new")).get();
            young.commitTransaction();
        }
        try {
            old.send(new ProducerRecord<>(topic, "late"));
            old.commitTransaction();
            throw new AssertionError("a producer that was replaced could commit");
        } catch (ProducerFencedException | InvalidProducerEpochException expected) {
            // Fenced.
        } catch (KafkaException failure) {
            Throwable cause = failure.getCause();
            if (!(cause instanceof ProducerFencedException || cause instanceof InvalidProducerEpochException)) throw failure;
        }
        old.close(Duration.ZERO);
        Harness.equal(read(topic, 1, "isolation.level", "read_committed"), List.of("new"));
    }

    private static void compaction() throws Exception {
        Map<String, String> quick = Map.of(
            TopicConfig.CLEANUP_POLICY_CONFIG, "compact",
            TopicConfig.SEGMENT_MS_CONFIG, "100",
            TopicConfig.MIN_CLEANABLE_DIRTY_RATIO_CONFIG, "0.01",
            TopicConfig.MAX_COMPACTION_LAG_MS_CONFIG, "500");
        String topic = createTopic(Harness.fresh("java"), 1, quick);
        int[] rounds = {0};
        Harness.until(() -> {
            try (KafkaProducer<String, String> producer = producer()) {
                for (int i = 0; i < 20; i++) producer.send(new ProducerRecord<>(topic, "k" + i % 2, rounds[0] + " " + i));
            }
            rounds[0]++;
            List<ConsumerRecord<String, String>> seen = everything(topic);
            Map<String, String> last = new HashMap<>();
            for (ConsumerRecord<String, String> record : seen) last.put(record.key(), record.value());
            Harness.equal(last, Map.of("k0", rounds[0] - 1 + " 18", "k1", rounds[0] - 1 + " 19"));
            return seen.size() < 20 * rounds[0];
        });
    }

    /** A producer above its quota is held back, and everything arrives. */
    private static void quotas() throws Exception {
        String topic = createTopic(1);
        String client = Harness.fresh("java-quota");
        ClientQuotaEntity entity = new ClientQuotaEntity(Map.of(ClientQuotaEntity.CLIENT_ID, client));
        ClientQuotaAlteration slow = new ClientQuotaAlteration(entity, List.of(new ClientQuotaAlteration.Op("producer_byte_rate", 20_000.0)));
        admin.alterClientQuotas(List.of(slow)).all().get();
        List<String> values = new ArrayList<>();
        for (int i = 0; i < 300; i++) values.add(i + " " + "x".repeat(1000));
        double throttled;
        try (KafkaProducer<String, String> producer = producer("client.id", client, "batch.size", "4000")) {
            for (String value : values) producer.send(new ProducerRecord<>(topic, value));
            producer.flush();
            throttled = producer.metrics().entrySet().stream()
                .filter(metric -> metric.getKey().name().equals("produce-throttle-time-max"))
                .mapToDouble(metric -> (Double) metric.getValue().metricValue()).max().orElse(0);
        }
        Harness.equal(throttled > 0, true);
        Harness.equal(read(topic, values.size()), values);
    }

    private static List<ConsumerRecord<String, String>> everything(String topic) {
        List<ConsumerRecord<String, String>> seen = new ArrayList<>();
        try (KafkaConsumer<String, String> consumer = consumer(null)) {
            TopicPartition part = new TopicPartition(topic, 0);
            consumer.assign(List.of(part));
            consumer.seekToBeginning(List.of(part));
            long end = consumer.endOffsets(List.of(part)).get(part);
            while (consumer.position(part) < end) consumer.poll(WAIT).forEach(seen::add);
        }
        return seen;
    }
}
