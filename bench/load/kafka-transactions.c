// Transactions by librdkafka: what an ordinary fast client does.
//
//   kafka-transactions --brokers B --topic T [--partitions N] [--producers N] [--records 100] [--size BYTES] [--seconds S]
//
// Each producer has a transactional id and a thread of its own: begin, produce the records to one partition after the other,
// commit, again. The time before the first commit of each does not count. Prints one JSON line.
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char *brokers = "", *topic = "bench";
static int partitions = 1, producers = 1, records = 100;
static size_t size = 100;
static double seconds_max = 8;
static pthread_barrier_t ready;

struct producer {
  pthread_t thread;
  int number;
  uint64_t commits;
  double latencies_sum, latency_max;
};

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

static void die(const char *what, const char *why) {
  fprintf(stderr, "kafka-transactions: %s: %s\n", what, why);
  exit(2);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value) {
  char why[512];
  if (rd_kafka_conf_set(conf, name, value, why, sizeof why) != RD_KAFKA_CONF_OK) die(name, why);
}

static void check(const char *what, rd_kafka_error_t *error) {
  if (error != NULL) die(what, rd_kafka_error_string(error));
}

static void delivered(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
  (void)rk, (void)opaque;
  if (message->err) die("delivery", rd_kafka_err2str(message->err));
}

// One transaction. The library looks only every 10 ms whether all is delivered when it is left to the commit. A broker that asks for patience is asked again, as the documentation of the client says.
static void transaction(rd_kafka_t *rk, const char *payload) {
  static const int timeout_ms = 30000;
  check("begin", rd_kafka_begin_transaction(rk));
  for (int i = 0; i < records; i++) {
    rd_kafka_resp_err_t error = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(i % partitions), RD_KAFKA_V_VALUE((void *)payload, size),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    if (error) die("produce", rd_kafka_err2str(error));
  }
  while (rd_kafka_outq_len(rk) > 0) rd_kafka_poll(rk, 100);
  for (;;) {
    rd_kafka_error_t *error = rd_kafka_commit_transaction(rk, timeout_ms);
    if (error == NULL) return;
    if (!rd_kafka_error_is_retriable(error)) die("commit", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
  }
}

static void *run(void *argument) {
  struct producer *self = argument;
  char id[64], why[512];
  snprintf(id, sizeof id, "bench-%d-%d", getpid(), self->number);
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "transactional.id", id);
  set(conf, "linger.ms", "0");
  rd_kafka_conf_set_dr_msg_cb(conf, delivered);
  rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (rk == NULL) die("producer", why);
  check("init", rd_kafka_init_transactions(rk, 60000));
  char *payload = malloc(size);
  memset(payload, 'x', size);
  transaction(rk, payload);
  pthread_barrier_wait(&ready);
  double end = now() + seconds_max;
  for (double began = now(), ended; began < end; began = ended) {
    transaction(rk, payload);
    ended = now();
    self->commits++;
    self->latencies_sum += ended - began;
    if (ended - began > self->latency_max) self->latency_max = ended - began;
  }
  rd_kafka_destroy(rk);
  free(payload);
  return NULL;
}

static void parse(int argc, char **argv) {
  for (int i = 1; i + 1 < argc; i += 2) {
    const char *name = argv[i], *value = argv[i + 1];
    if (!strcmp(name, "--brokers")) brokers = value;
    else if (!strcmp(name, "--topic")) topic = value;
    else if (!strcmp(name, "--partitions")) partitions = atoi(value);
    else if (!strcmp(name, "--producers")) producers = atoi(value);
    else if (!strcmp(name, "--records")) records = atoi(value);
    else if (!strcmp(name, "--size")) size = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else die("unknown option", name);
  }
}

int main(int argc, char **argv) {
  parse(argc, argv);
  struct producer *all = calloc((size_t)producers, sizeof *all);
  pthread_barrier_init(&ready, NULL, (unsigned)producers + 1);
  for (int i = 0; i < producers; i++) {
    all[i].number = i;
    pthread_create(&all[i].thread, NULL, run, &all[i]);
  }
  pthread_barrier_wait(&ready);
  double began = now(), cpu = cpu_seconds(), latencies = 0, latency_max = 0;
  uint64_t commits = 0;
  for (int i = 0; i < producers; i++) {
    pthread_join(all[i].thread, NULL);
    commits += all[i].commits;
    latencies += all[i].latencies_sum;
    if (all[i].latency_max > latency_max) latency_max = all[i].latency_max;
  }
  double seconds = now() - began;
  printf("{\"seconds\":%.3f,\"commits\":%" PRIu64 ",\"commitsPerSecond\":%.1f,\"latencyMeanMs\":%.2f,\"latencyMaxMs\":%.2f,"
         "\"cpuSeconds\":%.2f}\n",
         seconds, commits, commits / seconds_max, commits ? 1000 * latencies / commits : 0, 1000 * latency_max,
         cpu_seconds() - cpu);
  return 0;
}
