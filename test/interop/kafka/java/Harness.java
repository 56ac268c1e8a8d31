import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;

/** What the programs for Kafka's Java client share: names, limits, and one JSON line per outcome. */
final class Harness {
    static final Duration CHECK_TIME_MAX = Duration.ofSeconds(60);
    static String address;
    private static int names;
    private static final Map<String, Check> checks = new LinkedHashMap<>();

    interface Check {
        void run() throws Exception;
    }

    private Harness() {}

    static void check(String capability, Check check) {
        checks.put(capability, check);
    }

    /** A name that no other check and no other run on the same broker uses. */
    static String fresh(String kind) {
        return kind + "-" + ProcessHandle.current().pid() + "-" + ++names;
    }

    static void equal(Object actual, Object expected) {
        if (!Objects.equals(actual, expected)) throw new AssertionError(actual + " is not " + expected);
    }

    /** Waits until a condition holds; the check's own limit ends it otherwise. */
    static void until(BooleanSupplier condition) throws InterruptedException {
        while (!condition.getAsBoolean()) Thread.sleep(20);
    }

    static Properties settings(String... pairs) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", address);
        for (int i = 0; i < pairs.length; i += 2) properties.put(pairs[i], pairs[i + 1]);
        return properties;
    }

    static List<String> numbered(int count, int from) {
        List<String> values = new ArrayList<>();
        for (int i = 0; i < count; i++) values.add("value " + (from + i));
        return values;
    }

    /** Runs the checks one after another and prints what became of each. */
    static void run() {
        ExecutorService threads = Executors.newCachedThreadPool();
        checks.forEach((capability, check) -> {
            Future<?> running = threads.submit(() -> {
                check.run();
                return null;
            });
            String outcome = "{\"kind\":\"passed\"}";
            try {
                running.get(CHECK_TIME_MAX.toSeconds(), TimeUnit.SECONDS);
            } catch (TimeoutException | InterruptedException late) {
                running.cancel(true);
                outcome = failed("nothing after " + CHECK_TIME_MAX.toSeconds() + " s");
            } catch (ExecutionException failure) {
                outcome = failed(String.valueOf(failure.getCause()));
            }
            System.out.println("{\"capability\":" + quoted(capability) + ",\"outcome\":" + outcome + "}");
        });
        // A client's threads may still wait for something after a failure.
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    private static String failed(String reason) {
        return "{\"kind\":\"failed\",\"reason\":" + quoted(reason) + "}";
    }

    private static String quoted(String text) {
        StringBuilder quoted = new StringBuilder("\"");
        for (char c : text.toCharArray()) {
            if (c == '"' || c == '\\') quoted.append('\\').append(c);
            else if (c < ' ') quoted.append(' ');
            else quoted.append(c);
        }
        return quoted.append('"').toString();
    }
}
