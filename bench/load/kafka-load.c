// A load generator over librdkafka: what an ordinary fast client does.
//
//   kafka-load produce --brokers B --topic T [--partitions N] [--size BYTES] [--seconds S | --count N] [--rate N]
//                      [--acks -1|0|1] [--batch-bytes N] [--linger MS] [--idempotence 0|1] [--codec NAME]
//                      [--keys N]      so many keys in turn, scattered; without it there are none
//                      [--late-ms N]   with a rate: how many of the `timed` records took longer is told as `late`
//   kafka-load consume --brokers B --topic T [--partitions N] --count N [--seconds S]     from the beginning, no group
//   kafka-load latency --brokers B --topic T [--rate 2000] [--seconds S] [--size BYTES]   producer and consumer in one process
//   kafka-load ledger  --brokers B --topic T [--partitions N] --log FILE --writer ID [--keys N] [--first N]
//                      [--idempotence 0|1] [--rate N] [--seconds S]
//
// `ledger` writes values `WRITER KEY NUMBER CHECKSUM PADDING`, and for each record that is acknowledged one line
// `KEY NUMBER PARTITION OFFSET` to FILE, by one write(2) per line; it keeps on through broken connections until its time
// is over or SIGTERM, then prints how many it sent. Prints one JSON line.
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *mode = "", *brokers = "", *topic = "bench", *codec = "none", *log_file = "", *writer = "w";
static const char *acks = "-1", *linger = "5", *idempotence = "0", *batch_bytes = "1000000", *wait_ms = "500";
static int partitions = 1, keys = 0;
static size_t size = 1024;
static double seconds_max = 0, rate = 0, late_ms = 0;
static double *latencies;
static size_t latency_count, latency_capacity;
static int times_acks; // Else the latencies are those of a consumer.
static uint64_t count_max = 0, first = 0;

static volatile sig_atomic_t stop;
static uint64_t delivered, failed, sent;
static rd_kafka_resp_err_t failed_last;
static int log_fd = -1;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static double cpu_seconds(void) {
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  return use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

static void die(const char *what) {
  fprintf(stderr, "kafka-load: %s\n", what);
  exit(2);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char why[512];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
}

static void quiet(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
  (void)rk, (void)level, (void)facility, (void)text;
}

static rd_kafka_t *client(rd_kafka_type_t type, void (*report)(rd_kafka_t *, const rd_kafka_message_t *, void *)) {
  char why[512];
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "client.id", "kafka-load");
  rd_kafka_conf_set_log_cb(conf, quiet);
  if (type == RD_KAFKA_PRODUCER) {
    set(conf, "acks", acks);
    set(conf, "linger.ms", linger);
    set(conf, "enable.idempotence", idempotence);
    set(conf, "compression.codec", codec);
    set(conf, "batch.size", batch_bytes);
    set(conf, "batch.num.messages", "1000000");
    set(conf, "message.max.bytes", "1100000");
    set(conf, "queue.buffering.max.messages", "400000");
    set(conf, "queue.buffering.max.kbytes", "400000");
    set(conf, "reconnect.backoff.ms", "20");
    set(conf, "reconnect.backoff.max.ms", "200");
    // Without idempotence a retry overtakes what was sent after it: only one request in flight keeps the order.
    if (!strcmp(mode, "ledger") && strcmp(idempotence, "true")) set(conf, "max.in.flight.requests.per.connection", "1");
    rd_kafka_conf_set_dr_msg_cb(conf, report);
  } else {
    set(conf, "group.id", "kafka-load");
    set(conf, "enable.auto.commit", "false");
    set(conf, "fetch.wait.max.ms", wait_ms);
    set(conf, "queued.min.messages", "1000000");
    set(conf, "queued.max.messages.kbytes", "65536");
    set(conf, "fetch.message.max.bytes", "4194304");
    set(conf, "check.crcs", "false");
  }
  rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
  if (!rk) die(why);
  return rk;
}

static void count_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk, (void)opaque;
  if (message->err) failed++, failed_last = message->err;
  else delivered++;
  if (times_acks && latency_count < latency_capacity) latencies[latency_count++] = rd_kafka_message_latency(message) / 1e3;
}

static void fill(char *bytes, size_t n) {
  uint64_t x = 88172645463325252ull;
  for (size_t i = 0; i < n; i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17, bytes[i] = x;
}

// Sends until the time or the count is over; at `rate` records a second if one is given.
static void send_records(rd_kafka_t *rk, rd_kafka_topic_t *handle, int stamp) {
  char *value = malloc(size);
  fill(value, size);
  double start = now();
  for (; !stop && (!count_max || sent < count_max); sent++) {
    if (!(sent & 127) || rate > 0) {
      double t = now() - start;
      if (seconds_max > 0 && t >= seconds_max) break;
      if (rate > 0 && sent > t * rate) {
        double ahead = sent / rate - t;
        struct timespec pause = {(time_t)ahead, (long)((ahead - (time_t)ahead) * 1e9)};
        nanosleep(&pause, NULL);
      }
    }
    if (stamp) {
      double t = now();
      memcpy(value, &t, sizeof t);
    }
    char key[32];
    // Neighbours in time are far apart by key, and each key comes once in a round when the count has not this prime in it.
    size_t key_bytes = keys > 0 && !stamp ? (size_t)sprintf(key, "key-%012" PRIu64, sent * 7919 % keys) : 0;
    while (rd_kafka_produce(handle, sent % partitions, RD_KAFKA_MSG_F_COPY, value, size, key_bytes ? key : NULL, key_bytes, NULL) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(rd_kafka_last_error()));
      rd_kafka_poll(rk, 10);
    }
    if (!(sent & 255) || stamp) rd_kafka_poll(rk, 0);
  }
  rd_kafka_flush(rk, 60000);
  free(value);
}

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double percentile(size_t from, double part) {
  size_t n = latency_count - from;
  return n ? latencies[from + (size_t)(part * (n - 1))] : 0;
}

// At a rate, the time from handing a record to the client to its acknowledgement is told, too.
static void produce(void) {
  if (rate > 0 && seconds_max > 0) {
    times_acks = 1;
    latency_capacity = (size_t)(rate * seconds_max) + 1000;
    latencies = calloc(latency_capacity, sizeof *latencies);
  }
  rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, count_report);
  rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
  double start = now();
  send_records(rk, handle, 0);
  double seconds = now() - start;
  size_t warm = latency_count / 10; // The first of them open connections.
  if (latency_count > 0) qsort(latencies + warm, latency_count - warm, sizeof *latencies, by_value);
  size_t late = 0;
  for (size_t i = warm; i < latency_count; i++) late += latencies[i] > late_ms;
  printf("{\"records\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"errorLast\":\"%s\",\"seconds\":%.4f,\"recordsPerSecond\":%.0f,"
         "\"mbPerSecond\":%.1f,\"timed\":%zu,\"late\":%zu,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"p999Ms\":%.3f,\"maxMs\":%.3f,\"cpuSeconds\":%.2f}\n",
         delivered, failed, failed ? rd_kafka_err2name(failed_last) : "", seconds, delivered / seconds,
         delivered * size / seconds / 1e6, latency_count - warm, late, percentile(warm, 0.5), percentile(warm, 0.99), percentile(warm, 0.999),
         latency_count > warm ? latencies[latency_count - 1] : 0, cpu_seconds());
  rd_kafka_topic_destroy(handle), rd_kafka_destroy(rk);
}

static rd_kafka_t *assigned(int64_t offset) {
  rd_kafka_t *rk = client(RD_KAFKA_CONSUMER, NULL);
  rd_kafka_poll_set_consumer(rk);
  rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(partitions);
  for (int i = 0; i < partitions; i++) rd_kafka_topic_partition_list_add(list, topic, i)->offset = offset;
  if (rd_kafka_assign(rk, list)) die("assign");
  rd_kafka_topic_partition_list_destroy(list);
  return rk;
}

static void consume(void) {
  rd_kafka_t *rk = assigned(RD_KAFKA_OFFSET_BEGINNING);
  rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(rk);
  rd_kafka_message_t *batch[1000];
  uint64_t records = 0, bytes = 0, errors = 0;
  double start = now(), from = 0, last = start;
  while (records < count_max && !stop && (seconds_max <= 0 || now() - start < seconds_max)) {
    ssize_t n = rd_kafka_consume_batch_queue(queue, 100, batch, 1000);
    for (ssize_t i = 0; i < n; i++) {
      if (batch[i]->err) errors++;
      else records++, bytes += batch[i]->len;
      rd_kafka_message_destroy(batch[i]);
    }
    if (n > 0) last = now();
    if (from == 0 && records > 0) from = last, records = bytes = 0, count_max -= (uint64_t)n;
  }
  double seconds = last - from; // From the first records on: finding the leader and the offset is not the broker's rate.
  printf("{\"records\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"seconds\":%.4f,\"recordsPerSecond\":%.0f,"
         "\"mbPerSecond\":%.1f,\"cpuSeconds\":%.2f}\n",
         records, bytes, errors, seconds, records / seconds, bytes / seconds / 1e6, cpu_seconds());
  rd_kafka_queue_destroy(queue), rd_kafka_consumer_close(rk), rd_kafka_destroy(rk);
}

static void *receive(void *argument) {
  rd_kafka_t *rk = argument;
  while (!stop) {
    rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, 100);
    if (!message) continue;
    if (!message->err && message->len >= sizeof(double) && latency_count < latency_capacity) {
      double at;
      memcpy(&at, message->payload, sizeof at);
      latencies[latency_count++] = (now() - at) * 1e3;
    }
    rd_kafka_message_destroy(message);
  }
  return NULL;
}

static void latency(void) {
  if (rate <= 0) rate = 2000;
  if (seconds_max <= 0) seconds_max = 10;
  linger = "0";
  latency_capacity = (size_t)(rate * seconds_max) + 1000;
  latencies = calloc(latency_capacity, sizeof *latencies);
  rd_kafka_t *from = assigned(RD_KAFKA_OFFSET_END), *to = client(RD_KAFKA_PRODUCER, count_report);
  rd_kafka_topic_t *handle = rd_kafka_topic_new(to, topic, NULL);
  pthread_t thread;
  pthread_create(&thread, NULL, receive, from);
  sleep(2); // The consumer has its offset and waits in its first long poll.
  send_records(to, handle, 1);
  sleep(1);
  stop = 1;
  pthread_join(thread, NULL);
  size_t warm = latency_count < 4000 ? latency_count / 10 : 2000; // The first second opens connections.
  double worst = 0;
  qsort(latencies + warm, latency_count - warm, sizeof *latencies, by_value);
  if (latency_count > warm) worst = latencies[latency_count - 1];
  printf("{\"records\":%zu,\"sent\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"p50Ms\":%.3f,\"p90Ms\":%.3f,\"p99Ms\":%.3f,"
         "\"p999Ms\":%.3f,\"maxMs\":%.3f,\"cpuSeconds\":%.2f}\n",
         latency_count, sent, failed, percentile(warm, 0.5), percentile(warm, 0.9), percentile(warm, 0.99),
         percentile(warm, 0.999), worst, cpu_seconds());
  rd_kafka_topic_destroy(handle), rd_kafka_destroy(to), rd_kafka_consumer_close(from), rd_kafka_destroy(from);
}

// FNV-1a, 32 bit: the reader computes the same over the value's words before the checksum.
static uint32_t checksum(const char *text, size_t n) {
  uint32_t hash = 2166136261u;
  while (n--) hash = (hash ^ (unsigned char)*text++) * 16777619u;
  return hash;
}

static void ledger_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  char line[128], name[64], key[64];
  uint64_t number;
  (void)rk, (void)opaque;
  if (message->err) {
    failed++, failed_last = message->err;
    return;
  }
  delivered++;
  if (sscanf(message->payload, "%63s %63s %" SCNu64, name, key, &number) != 3) die("own record is not as written");
  int n = snprintf(line, sizeof line, "%s %" PRIu64 " %d %" PRId64 "\n", key, number, message->partition, message->offset);
  if (write(log_fd, line, n) != n) die("the log cannot be written");
}

static void on_signal(int number) {
  (void)number;
  stop = 1;
}

static void ledger(void) {
  if (keys == 0) keys = 16;
  log_fd = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (log_fd < 0) die("the log cannot be opened");
  rd_kafka_t *rk = client(RD_KAFKA_PRODUCER, ledger_report);
  rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
  char *value = malloc(size + 256), *padding = malloc(size + 1);
  memset(padding, 'x', size), padding[size] = 0;
  double start = now();
  while (!stop && (seconds_max <= 0 || now() - start < seconds_max)) {
    uint64_t number = first + sent / keys;
    char key[64];
    snprintf(key, sizeof key, "%s-%" PRIu64, writer, sent % keys);
    int n = sprintf(value, "%s %s %" PRIu64, writer, key, number);
    n += sprintf(value + n, " %08x ", checksum(value, n));
    memcpy(value + n, padding, size), n += number % size; // All lengths occur, so that batches end anywhere.
    value[n++] = '\n', value[n] = 0;
    if (rd_kafka_produce(handle, sent % keys % partitions, RD_KAFKA_MSG_F_COPY, value, n, key, strlen(key), NULL) == 0) sent++;
    else rd_kafka_poll(rk, 10);
    rd_kafka_poll(rk, 0);
    if (rate > 0 && sent > (now() - start) * rate) usleep(1000);
  }
  rd_kafka_flush(rk, 30000);
  printf("{\"sent\":%" PRIu64 ",\"delivered\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"errorLast\":\"%s\"}\n", sent, delivered, failed,
         failed ? rd_kafka_err2name(failed_last) : "");
  rd_kafka_topic_destroy(handle), rd_kafka_destroy(rk);
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--brokers")) brokers = value;
    else if (!strcmp(name, "--topic")) topic = value;
    else if (!strcmp(name, "--codec")) codec = value;
    else if (!strcmp(name, "--log")) log_file = value;
    else if (!strcmp(name, "--writer")) writer = value;
    else if (!strcmp(name, "--acks")) acks = value;
    else if (!strcmp(name, "--linger")) linger = value;
    else if (!strcmp(name, "--wait")) wait_ms = value;
    else if (!strcmp(name, "--idempotence")) idempotence = strcmp(value, "1") ? "false" : "true";
    else if (!strcmp(name, "--batch-bytes")) batch_bytes = value;
    else if (!strcmp(name, "--partitions")) partitions = atoi(value);
    else if (!strcmp(name, "--keys")) keys = atoi(value);
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else if (!strcmp(name, "--rate")) rate = atof(value);
    else if (!strcmp(name, "--late-ms")) late_ms = atof(value);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--first")) first = strtoull(value, NULL, 10);
    else die(name);
  }
}

int main(int count, char **words) {
  mode = count > 1 ? words[1] : "";
  idempotence = "false";
  parse(count, words);
  signal(SIGTERM, on_signal), signal(SIGINT, on_signal);
  if (!strcmp(mode, "produce")) produce();
  else if (!strcmp(mode, "consume")) consume();
  else if (!strcmp(mode, "latency")) latency();
  else if (!strcmp(mode, "ledger")) ledger();
  else die("usage: kafka-load produce|consume|latency|ledger --brokers B --topic T … (see the source's head)");
  return failed > 0 ? 3 : 0;
}
