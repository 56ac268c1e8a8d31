import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.LongDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Produced;

/** The word count of Kafka Streams' documentation. Takes the broker's address and a directory for its state. */
public final class WordCount {
    private static String directory;
    private static Admin admin;

    public static void main(String[] args) {
        Harness.address = args[0];
        directory = args[1];
        admin = Admin.create(Harness.settings());
        Harness.check("program: word count, at_least_once", () -> count(StreamsConfig.AT_LEAST_ONCE));
        Harness.check("program: word count, exactly_once_v2", () -> count(StreamsConfig.EXACTLY_ONCE_V2));
        Harness.run();
    }

    /** Counts, loses its state, and goes on counting from what the broker kept of it. */
    private static void count(String guarantee) throws Exception {
        String application = Harness.fresh("words");
        String lines = application + "-lines";
        String counts = application + "-counts";
        admin.createTopics(List.of(new NewTopic(lines, 2, (short) 1), new NewTopic(counts, 1, (short) 1))).all().get();
        Map<String, Long> expected = new HashMap<>();
        for (int run = 0; run < 2; run++) {
            try (KafkaProducer<String, String> producer = new KafkaProducer<>(Harness.settings(), new StringSerializer(), new StringSerializer())) {
                for (int i = 0; i < 200; i++) {
                    String line = "the broker keeps line " + i % 10;
                    for (String word : line.split(" ")) expected.merge(word, 1L, Long::sum);
                    producer.send(new ProducerRecord<>(lines, line));
                }
            }
            try (KafkaStreams streams = start(application, guarantee, lines, counts)) {
                Harness.until(() -> latest(counts).equals(expected));
                streams.close(Duration.ofSeconds(20));
                streams.cleanUp();
            }
        }
    }

    private static KafkaStreams start(String application, String guarantee, String lines, String counts) {
        Properties settings = Harness.settings(
            StreamsConfig.APPLICATION_ID_CONFIG, application,
            StreamsConfig.STATE_DIR_CONFIG, directory,
            StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee,
            StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, "200",
            StreamsConfig.DSL_STORE_SUPPLIERS_CLASS_CONFIG, "org.apache.kafka.streams.state.BuiltInDslStoreSuppliers$InMemoryDslStoreSuppliers",
            "auto.offset.reset", "earliest",
            "session.timeout.ms", "6000");
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(lines, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.toLowerCase(Locale.ROOT).split("\\W+")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count()
            .toStream()
            .to(counts, Produced.with(Serdes.String(), Serdes.Long()));
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.start();
        return streams;
    }

    /** The newest count of each word, of what is committed. */
    private static Map<String, Long> latest(String counts) {
        Properties settings = Harness.settings("isolation.level", "read_committed");
        Map<String, Long> seen = new HashMap<>();
        try (KafkaConsumer<String, Long> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            TopicPartition part = new TopicPartition(counts, 0);
            consumer.assign(List.of(part));
            consumer.seekToBeginning(List.of(part));
            long end = consumer.endOffsets(List.of(part)).get(part);
            while (consumer.position(part) < end) {
                for (ConsumerRecord<String, Long> record : consumer.poll(Duration.ofMillis(100))) seen.put(record.key(), record.value());
            }
        }
        return seen;
    }
}
