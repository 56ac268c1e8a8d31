// Transactions by Kafka's own client, in the newest protocol that the broker offers.
//
//   java -cp 'JARS/*' KafkaTransactions.java --brokers B --topic T [--partitions N] [--producers N] [--records 100] [--size BYTES]
//                                            [--warmup S] [--seconds S]
//
// Each producer has a transactional id and a thread of its own: begin, send the records to one partition after the other, commit,
// again. What is committed in the time to warm up does not count. Prints one JSON line.

import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class KafkaTransactions {
  public static void main(String[] words) throws Exception {
    Map<String, String> options = new HashMap<>();
    for (int i = 0; i + 1 < words.length; i += 2) options.put(words[i], words[i + 1]);
    int producers = number(options, "--producers", 1);
    long warmUntil = System.nanoTime() + 1_000_000_000L * number(options, "--warmup", 3);
    long until = warmUntil + 1_000_000_000L * number(options, "--seconds", 8);
    AtomicLong commits = new AtomicLong();
    AtomicLong cpuBefore = new AtomicLong();
    List<Thread> threads = new ArrayList<>();
    for (int producer = 0; producer < producers; producer++) {
      String id = "bench-" + ProcessHandle.current().pid() + "-" + producer;
      Thread thread = new Thread(() -> run(options, id, warmUntil, until, commits));
      thread.start();
      threads.add(thread);
    }
    Thread.sleep(Math.max(0, (warmUntil - System.nanoTime()) / 1_000_000));
    cpuBefore.set(cpuNanos());
    for (Thread thread : threads) thread.join();
    double seconds = (until - warmUntil) / 1e9;
    System.out.printf("{\"seconds\":%.3f,\"commits\":%d,\"commitsPerSecond\":%.1f,\"cpuSeconds\":%.2f}%n", seconds,
        commits.get(), commits.get() / seconds, (cpuNanos() - cpuBefore.get()) / 1e9);
    System.exit(0);
  }

  private static void run(Map<String, String> options, String id, long warmUntil, long until, AtomicLong commits) {
    Properties settings = new Properties();
    settings.put("bootstrap.servers", options.get("--brokers"));
    settings.put("transactional.id", id);
    settings.put("linger.ms", "0");
    settings.put("key.serializer", ByteArraySerializer.class.getName());
    settings.put("value.serializer", ByteArraySerializer.class.getName());
    String topic = options.get("--topic");
    int partitions = number(options, "--partitions", 1);
    int records = number(options, "--records", 100);
    byte[] value = new byte[number(options, "--size", 100)];
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(settings)) {
      producer.initTransactions();
      while (System.nanoTime() < until) {
        producer.beginTransaction();
        for (int i = 0; i < records; i++) producer.send(new ProducerRecord<>(topic, i % partitions, null, value));
        producer.commitTransaction();
        long now = System.nanoTime();
        if (now >= warmUntil && now < until) commits.incrementAndGet();
      }
    }
  }

  private static int number(Map<String, String> options, String name, int otherwise) {
    return Integer.parseInt(options.getOrDefault(name, String.valueOf(otherwise)));
  }

  private static long cpuNanos() {
    return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
  }
}
