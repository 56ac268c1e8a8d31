// The Kafka protocol without a client library: requests built once and sent again and again, answers checked for error
// codes and thrown away. It costs a small part of what a broker does for the same bytes, so it is never the bottleneck.
//
//   kafka-raw produce --port P --topic T [--topics N] [--partitions N] [--size BYTES] [--batch-bytes BYTES]
//                     [--conns C] [--window W] [--seconds S | --count RECORDS] [--acks -1|0|1]
//   kafka-raw fetch   --port P --topic T [--topics N] [--partitions N] [--conns C] --count RECORDS [--max-bytes BYTES]
//                     [--partition-bytes BYTES] [--seconds S]
//
// With --topics N the topics are T0, T1, …; each request carries one batch for one partition, round robin over all.
// Produce v7, Fetch v11 (the newest without compact forms). One thread per connection; W produce requests in flight.
// Prints one JSON line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;

static const char *mode = "", *topic = "bench";
static int port, topics = 0, partitions = 1, conns = 1, window = 8, acks = -1;
static size_t record_size = 1024, batch_bytes = 1 << 20, fetch_max = 50 << 20, partition_max = 8 << 20;
static double seconds_max = 0;
static uint64_t count_max = 0;

static atomic_ulong records_done, bytes_done, requests_done, errors_done;
static atomic_int error_last, stop;
static double started;

static void die(const char *what) {
  fprintf(stderr, "kafka-raw: %s: %s\n", what, strerror(errno));
  exit(2);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static u8 *put16(u8 *p, int v) { uint16_t x = htobe16(v); memcpy(p, &x, 2); return p + 2; }
static u8 *put32(u8 *p, int v) { uint32_t x = htobe32(v); memcpy(p, &x, 4); return p + 4; }
static u8 *put64(u8 *p, int64_t v) { uint64_t x = htobe64(v); memcpy(p, &x, 8); return p + 8; }
static u8 *puts16(u8 *p, const char *s) { size_t n = strlen(s); p = put16(p, n); memcpy(p, s, n); return p + n; }
static int get16(const u8 *p) { uint16_t x; memcpy(&x, p, 2); return (int16_t)be16toh(x); }
static int get32(const u8 *p) { uint32_t x; memcpy(&x, p, 4); return (int32_t)be32toh(x); }
static int64_t get64(const u8 *p) { uint64_t x; memcpy(&x, p, 8); return (int64_t)be64toh(x); }

static u8 *put_varint(u8 *p, int64_t value) {
  uint64_t v = ((uint64_t)value << 1) ^ (uint64_t)(value >> 63);
  for (; v >= 128; v >>= 7) *p++ = v | 128;
  *p++ = v;
  return p;
}

static uint32_t crc32c(const u8 *p, size_t n) {
  static uint32_t table[256];
  if (!table[1])
    for (int i = 0; i < 256; i++) {
      uint32_t c = i;
      for (int k = 0; k < 8; k++) c = c & 1 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
      table[i] = c;
    }
  uint32_t c = ~0u;
  while (n--) c = table[(c ^ *p++) & 255] ^ (c >> 8);
  return ~c;
}

// One RecordBatch v2 of `n` records without keys.
static u8 *build_batch(size_t n, size_t *length) {
  u8 *batch = malloc(n * (record_size + 24) + 128), *p = batch;
  struct timespec wall;
  clock_gettime(CLOCK_REALTIME, &wall);
  int64_t ms = wall.tv_sec * 1000ll + wall.tv_nsec / 1000000;
  p = put64(p, 0), p = put32(p, 0), p = put32(p, -1), *p++ = 2, p = put32(p, 0), p = put16(p, 0);
  p = put32(p, n - 1), p = put64(p, ms), p = put64(p, ms), p = put64(p, -1), p = put16(p, -1), p = put32(p, -1);
  p = put32(p, n);
  uint64_t x = 88172645463325252ull;
  for (size_t i = 0; i < n; i++) {
    u8 head[32], *h = head;
    *h++ = 0, h = put_varint(h, 0), h = put_varint(h, i), h = put_varint(h, -1), h = put_varint(h, record_size);
    p = put_varint(p, (h - head) + record_size + 1);
    memcpy(p, head, h - head), p += h - head;
    for (size_t k = 0; k < record_size; k++) x ^= x << 13, x ^= x >> 7, x ^= x << 17, *p++ = x;
    *p++ = 0;
  }
  *length = p - batch;
  put32(batch + 8, *length - 12);
  put32(batch + 17, (int)crc32c(batch + 21, *length - 21));
  return batch;
}

// A connection with a small read buffer: heads are parsed in it, long bodies are skipped in the kernel.
typedef struct {
  int fd;
  u8 bytes[1 << 16];
  size_t from, to;
} Wire;

static void dial(Wire *wire) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  wire->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(wire->fd, (void *)&address, sizeof address)) die("connect");
  setsockopt(wire->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static void send_parts(int fd, struct iovec *parts, int n) {
  while (n > 0) {
    ssize_t sent = writev(fd, parts, n);
    if (sent < 0) die("send");
    while (n > 0 && (size_t)sent >= parts->iov_len) sent -= parts->iov_len, parts++, n--;
    if (n > 0) parts->iov_base = (u8 *)parts->iov_base + sent, parts->iov_len -= sent;
  }
}

static const u8 *need(Wire *wire, size_t n) {
  if (n > sizeof wire->bytes) die("answer has a longer head than expected");
  if (wire->to - wire->from < n && wire->from + n > sizeof wire->bytes) {
    memmove(wire->bytes, wire->bytes + wire->from, wire->to - wire->from);
    wire->to -= wire->from, wire->from = 0;
  }
  while (wire->to - wire->from < n) {
    if (wire->from == wire->to) wire->from = wire->to = 0;
    ssize_t got = recv(wire->fd, wire->bytes + wire->to, sizeof wire->bytes - wire->to, 0);
    if (got <= 0) die("the broker closed the connection");
    wire->to += got;
  }
  const u8 *at = wire->bytes + wire->from;
  wire->from += n;
  return at;
}

static void skip(Wire *wire, size_t n) {
  size_t here = wire->to - wire->from;
  if (n <= here) {
    wire->from += n;
    return;
  }
  n -= here, wire->from = wire->to = 0;
  while (n > 0) {
    ssize_t got = recv(wire->fd, NULL, n, MSG_TRUNC); // TCP drops the bytes without a copy.
    if (got <= 0) die("the broker closed the connection");
    n -= got;
  }
}

static void note_error(int code) {
  atomic_fetch_add(&errors_done, 1);
  atomic_store(&error_last, code);
}

static void topic_name(char *out, size_t index) {
  if (topics > 0) snprintf(out, 256, "%s%zu", topic, index);
  else snprintf(out, 256, "%s", topic);
}

static u8 *request_head(u8 *p, int key, int version, int correlation) {
  p = put32(p, 0), p = put16(p, key), p = put16(p, version), p = put32(p, correlation);
  return puts16(p, "kafka-raw");
}

// [correlation][topics: name, partitions: index, error, base offset, append time, log start][throttle]
static int read_produce_answer(Wire *wire) {
  size_t left = get32(need(wire, 4));
  const u8 *p = need(wire, left);
  int ok = 1;
  p += 4;
  for (int t = get32(p), i = (p += 4, 0); i < t; i++) {
    p += 2 + get16(p);
    for (int n = get32(p), k = (p += 4, 0); k < n; k++, p += 30)
      if (get16(p + 4) != 0) note_error(get16(p + 4)), ok = 0;
  }
  return ok;
}

static void *produce(void *argument) {
  size_t self = (size_t)argument, targets = (size_t)(topics > 0 ? topics : 1) * partitions;
  size_t per_batch = batch_bytes / (record_size + 12), length;
  if (per_batch == 0) per_batch = 1;
  u8 *batch = build_batch(per_batch, &length);
  Wire *wire = calloc(1, sizeof *wire);
  dial(wire);
  size_t target = self * targets / conns;
  int outstanding = 0, correlation = 0;
  for (;;) {
    while (outstanding < window && !atomic_load(&stop)) {
      u8 head[512], *p = request_head(head, 0, 7, correlation++);
      char name[256];
      topic_name(name, target / partitions);
      p = put16(p, -1), p = put16(p, acks), p = put32(p, 30000), p = put32(p, 1), p = puts16(p, name);
      p = put32(p, 1), p = put32(p, target % partitions), p = put32(p, length);
      put32(head, (p - head) - 4 + length);
      struct iovec parts[2] = {{head, p - head}, {batch, length}};
      send_parts(wire->fd, parts, 2);
      target = (target + 1) % targets;
      if (acks != 0) outstanding++;
      if (acks == 0) {
        atomic_fetch_add(&records_done, per_batch), atomic_fetch_add(&bytes_done, per_batch * record_size);
        break;
      }
    }
    if (outstanding > 0) {
      outstanding--;
      if (read_produce_answer(wire)) {
        atomic_fetch_add(&bytes_done, per_batch * record_size);
        uint64_t done = atomic_fetch_add(&records_done, per_batch) + per_batch;
        if (count_max && done + (uint64_t)per_batch * window * conns > count_max) atomic_store(&stop, 1);
      }
      atomic_fetch_add(&requests_done, 1);
    }
    if (seconds_max > 0 && now() - started >= seconds_max) atomic_store(&stop, 1);
    if (count_max && atomic_load(&records_done) >= count_max) atomic_store(&stop, 1);
    if (atomic_load(&stop) && outstanding == 0) break;
  }
  close(wire->fd);
  return NULL;
}

typedef struct {
  size_t topic, partition;
  int64_t offset;
} Place;

static void send_fetch(Wire *wire, Place *places, size_t n, int correlation) {
  u8 *bytes = malloc(256 + n * 320), *p = request_head(bytes, 1, 11, correlation);
  p = put32(p, -1), p = put32(p, 500), p = put32(p, 1), p = put32(p, fetch_max), *p++ = 0, p = put32(p, 0), p = put32(p, -1);
  p = put32(p, n);
  for (size_t i = 0; i < n; i++) {
    char name[256];
    topic_name(name, places[i].topic);
    p = puts16(p, name), p = put32(p, 1), p = put32(p, places[i].partition), p = put32(p, -1);
    p = put64(p, places[i].offset), p = put64(p, -1), p = put32(p, partition_max);
  }
  p = put32(p, 0), p = puts16(p, "");
  put32(bytes, (p - bytes) - 4);
  struct iovec part = {bytes, p - bytes};
  send_parts(wire->fd, &part, 1);
  free(bytes);
}

// Walks the batches of one partition by their heads; a batch that is cut off by the size limit is not counted.
static void read_records(Wire *wire, size_t left, Place *place) {
  while (left > 0) {
    if (left < 61) {
      skip(wire, left);
      return;
    }
    const u8 *head = need(wire, 61);
    int64_t base = get64(head);
    size_t whole = (size_t)get32(head + 8) + 12;
    uint64_t records = get32(head + 57);
    int64_t next = base + get32(head + 23) + 1;
    left -= 61;
    if (whole - 61 > left) {
      skip(wire, left);
      return;
    }
    skip(wire, whole - 61), left -= whole - 61;
    if (next <= place->offset) continue;
    if (base > place->offset) note_error(-1000); // A hole in the offsets.
    place->offset = next;
    atomic_fetch_add(&records_done, records), atomic_fetch_add(&bytes_done, whole);
  }
}

static void read_fetch_answer(Wire *wire, Place *places, size_t n) {
  need(wire, 4);
  const u8 *head = need(wire, 4 + 4 + 2 + 4);
  if (get16(head + 8) != 0) note_error(get16(head + 8));
  size_t at = 0;
  for (int t = get32(need(wire, 4)); t > 0; t--) {
    char name[256], want[256];
    size_t length = get16(need(wire, 2));
    const u8 *bytes = need(wire, length);
    memcpy(name, bytes, length < 255 ? length : 255), name[length < 255 ? length : 255] = 0;
    for (int k = get32(need(wire, 4)); k > 0; k--) {
      const u8 *p = need(wire, 4 + 2 + 8 + 8 + 8);
      size_t partition = get32(p);
      if (get16(p + 4) != 0) note_error(get16(p + 4));
      int aborted = get32(need(wire, 4));
      if (aborted > 0) skip(wire, (size_t)aborted * 16);
      need(wire, 4);
      int size = get32(need(wire, 4));
      // Answers come in the order of the request, at most with some left out.
      for (size_t tried = 0; tried < n; tried++, at = (at + 1) % n) {
        topic_name(want, places[at].topic);
        if (places[at].partition == partition && !strcmp(want, name)) break;
      }
      if (size > 0) read_records(wire, size, &places[at]);
    }
  }
  atomic_fetch_add(&requests_done, 1);
}

static void *fetch(void *argument) {
  size_t self = (size_t)argument, targets = (size_t)(topics > 0 ? topics : 1) * partitions, n = 0;
  Place *places = calloc(targets, sizeof *places);
  for (size_t i = self; i < targets; i += conns) places[n++] = (Place){i / partitions, i % partitions, 0};
  if (n == 0) return NULL;
  Wire *wire = calloc(1, sizeof *wire);
  dial(wire);
  for (int correlation = 0; !atomic_load(&stop); correlation++) {
    send_fetch(wire, places, n, correlation);
    read_fetch_answer(wire, places, n);
    // The next answer begins with another partition, so that none is starved by the size limit.
    Place first = places[0];
    memmove(places, places + 1, (n - 1) * sizeof *places), places[n - 1] = first;
    if (count_max && atomic_load(&records_done) >= count_max) atomic_store(&stop, 1);
    if (seconds_max > 0 && now() - started >= seconds_max) atomic_store(&stop, 1);
    if (atomic_load(&errors_done) > 1000) atomic_store(&stop, 1);
  }
  close(wire->fd);
  return NULL;
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--topic")) topic = value;
    else if (!strcmp(name, "--topics")) topics = atoi(value);
    else if (!strcmp(name, "--partitions")) partitions = atoi(value);
    else if (!strcmp(name, "--conns")) conns = atoi(value);
    else if (!strcmp(name, "--window")) window = atoi(value);
    else if (!strcmp(name, "--acks")) acks = atoi(value);
    else if (!strcmp(name, "--size")) record_size = atol(value);
    else if (!strcmp(name, "--batch-bytes")) batch_bytes = atol(value);
    else if (!strcmp(name, "--max-bytes")) fetch_max = atol(value);
    else if (!strcmp(name, "--partition-bytes")) partition_max = atol(value);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else fprintf(stderr, "kafka-raw: unknown option %s\n", name), exit(1);
  }
}

int main(int count, char **words) {
  mode = count > 1 ? words[1] : "";
  void *(*work)(void *) = !strcmp(mode, "produce") ? produce : !strcmp(mode, "fetch") ? fetch : NULL;
  parse(count, words);
  if (!work || !port || (seconds_max <= 0 && !count_max)) {
    fprintf(stderr, "usage: kafka-raw produce|fetch --port P --topic T --seconds S|--count N (see the source's head)\n");
    return 1;
  }
  pthread_t *threads = calloc(conns, sizeof *threads);
  started = now();
  for (size_t i = 0; i < (size_t)conns; i++) pthread_create(&threads[i], NULL, work, (void *)i);
  for (int i = 0; i < conns; i++) pthread_join(threads[i], NULL);
  double seconds = now() - started;
  struct rusage use;
  getrusage(RUSAGE_SELF, &use);
  double cpu = use.ru_utime.tv_sec + use.ru_stime.tv_sec + (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
  printf("{\"records\":%lu,\"bytes\":%lu,\"requests\":%lu,\"errors\":%lu,\"errorLast\":%d,\"seconds\":%.4f,"
         "\"recordsPerSecond\":%.0f,\"mbPerSecond\":%.1f,\"cpuSeconds\":%.2f}\n",
         records_done, bytes_done, requests_done, errors_done, error_last, seconds, records_done / seconds,
         bytes_done / seconds / 1e6, cpu);
  return errors_done > 0 ? 3 : 0;
}
