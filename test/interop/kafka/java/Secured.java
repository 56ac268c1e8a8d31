import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import javax.security.auth.callback.Callback;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerTokenCallback;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** Checks of Kafka's Java client with a broker that asks who one is. */
final class Secured {
    private static final String MODULES = "org.apache.kafka.common.security.";
    private static List<String> words;

    private Secured() {}

    /** Takes both addresses, the files of authority, certificate and key, user, password and token. */
    static void checks(List<String> given) {
        words = given;
        Harness.check("TLS", () -> exchange(settings(true, "PLAIN", word("password"))));
        Harness.check("TLS with client certificate", () -> exchange(certified()));
        for (String mechanism : List.of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER")) Harness.check("SASL " + mechanism, () -> sasl(mechanism));
    }

    private static String word(String name) {
        return words.get(List.of("plain", "tls", "authority", "certificate", "key", "user", "password", "token").indexOf(name));
    }

    private static void sasl(String mechanism) throws Exception {
        for (boolean tls : new boolean[] {false, true}) exchange(settings(tls, mechanism, word("password")));
        if (mechanism.equals("OAUTHBEARER")) return;
        try (Admin admin = Admin.create(settings(false, mechanism, "wrong"))) {
            admin.describeCluster().clusterId().get();
            throw new AssertionError("a wrong password was taken");
        } catch (java.util.concurrent.ExecutionException failure) {
            if (!(failure.getCause() instanceof SaslAuthenticationException)) throw failure;
        }
    }

    private static Properties trusting(boolean tls) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", word(tls ? "tls" : "plain"));
        if (tls) {
            settings.put("ssl.truststore.type", "PEM");
            settings.put("ssl.truststore.certificates", Files.readString(Path.of(word("authority"))));
        }
        return settings;
    }

    private static Properties certified() throws Exception {
        Properties settings = trusting(true);
        settings.put("security.protocol", "SSL");
        settings.put("ssl.keystore.type", "PEM");
        settings.put("ssl.keystore.certificate.chain", Files.readString(Path.of(word("certificate"))));
        settings.put("ssl.keystore.key", Files.readString(Path.of(word("key"))));
        return settings;
    }

    private static Properties settings(boolean tls, String mechanism, String password) throws Exception {
        Properties settings = trusting(tls);
        settings.put("security.protocol", tls ? "SASL_SSL" : "SASL_PLAINTEXT");
        settings.put("sasl.mechanism", mechanism);
        String login = " required username=\"" + word("user") + "\" password=\"" + password + "\";";
        if (mechanism.equals("OAUTHBEARER")) {
            settings.put("sasl.jaas.config", MODULES + "oauthbearer.OAuthBearerLoginModule required;");
            settings.put("sasl.login.callback.handler.class", Bearer.class.getName());
        } else if (mechanism.equals("PLAIN")) {
            settings.put("sasl.jaas.config", MODULES + "plain.PlainLoginModule" + login);
        } else {
            settings.put("sasl.jaas.config", MODULES + "scram.ScramLoginModule" + login);
        }
        return settings;
    }

    /** Publishes and consumes with them. */
    private static void exchange(Properties settings) throws Exception {
        String topic = Harness.fresh("java-secure");
        try (Admin admin = Admin.create(settings)) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
        }
        try (KafkaProducer<String, String> producer = new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>(topic, "secret")).get();
        }
        try (KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer())) {
            TopicPartition part = new TopicPartition(topic, 0);
            consumer.assign(List.of(part));
            consumer.seekToBeginning(List.of(part));
            Harness.until(() -> !consumer.poll(Duration.ofMillis(100)).isEmpty());
        }
    }

    /** Hands out the one token that there is. */
    public static final class Bearer implements AuthenticateCallbackHandler {
        @Override
        public void configure(Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> entries) {}

        @Override
        public void close() {}

        @Override
        public void handle(Callback[] callbacks) {
            for (Callback callback : callbacks) {
                if (callback instanceof OAuthBearerTokenCallback) ((OAuthBearerTokenCallback) callback).token(new Token());
            }
        }
    }

    private static final class Token implements OAuthBearerToken {
        @Override
        public String value() {
            return word("token");
        }

        @Override
        public Set<String> scope() {
            return Set.of();
        }

        @Override
        public long lifetimeMs() {
            return System.currentTimeMillis() + 3_000_000;
        }

        @Override
        public String principalName() {
            return "machine";
        }

        @Override
        public Long startTimeMs() {
            return null;
        }
    }
}
