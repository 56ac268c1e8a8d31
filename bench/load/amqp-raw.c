// AMQP 0-9-1 without a client library. One thread for each connection; publishes are built once and sent again and again.
//
//   amqp-raw publish --port P --queue Q [--type classic|quorum] [--size BYTES] [--conns C] [--window W] [--rate R]
//                    --seconds S | --count N      persistent messages with confirms, W of them unconfirmed at most
//   amqp-raw consume --port P --queue Q [--conns C] [--prefetch N] --seconds S | --count N      one ack for each message
//   amqp-raw flow    --port P --queue Q [...]     both at once, C connections each; only what is acknowledged counts
//   amqp-raw hold    --port P --queue Q --queues N [--conns C]   declares Q0, Q1, … with a consumer each, prints a line,
//                    and acknowledges what comes until standard input ends
//   amqp-raw purge   --port P --queue Q
//
// The queue is declared durable. `--edge N`: the rates of the first and of the last N messages. With `--rate` messages are
// spread evenly over time, and the report has the latencies of confirms and of deliveries. `--queues N` with `publish`
// sends to Q0, Q1, … in turn. Bodies begin with the time of sending when there is room for it. Prints one JSON line.
#define _GNU_SOURCE
static const char tool[] = "amqp-raw";
#include "raw.h"

enum { frame_max = 131072, batch_max = 128 };

static int port, conns = 1, window = 1000, prefetch = 1000, queues = 0;
static const char *queue = "bench", *type = "classic";
static size_t size = 1024;
static double seconds_max = 0, rate = 0, started;
static uint64_t count_max = 0, edge = 0;

static atomic_ulong sent, confirmed, refused, acked, redelivered;
static atomic_int stop, publishers_left;
static double first_edge_at, before_last_edge_at, last_at; // Of the verb that `--edge` is for.

typedef struct {
  int fd;
  u8 in[1 << 18];
  size_t from, to;
  u8 out[1 << 18];
  size_t out_length;
} Wire;

static u8 *put16(u8 *p, unsigned v) { uint16_t x = htobe16(v); memcpy(p, &x, 2); return p + 2; }
static u8 *put32(u8 *p, uint32_t v) { uint32_t x = htobe32(v); memcpy(p, &x, 4); return p + 4; }
static u8 *put64(u8 *p, uint64_t v) { uint64_t x = htobe64(v); memcpy(p, &x, 8); return p + 8; }
static u8 *put_short(u8 *p, const char *s) { size_t n = strlen(s); *p = n; memcpy(p + 1, s, n); return p + 1 + n; }
static unsigned get16(const u8 *p) { uint16_t x; memcpy(&x, p, 2); return be16toh(x); }
static uint32_t get32(const u8 *p) { uint32_t x; memcpy(&x, p, 4); return be32toh(x); }
static uint64_t get64(const u8 *p) { uint64_t x; memcpy(&x, p, 8); return be64toh(x); }

// ---- Frames: 1 type, 2 channel, 4 length, payload, 0xCE.

static u8 *begin(u8 *p, int frame, int channel) {
  *p = frame, put16(p + 1, channel);
  return p + 7;
}

static u8 *end(u8 *start, u8 *p) {
  put32(start + 3, p - start - 7);
  *p = 0xCE;
  return p + 1;
}

static u8 *begin_method(u8 *p, int channel, int class, int method) {
  p = begin(p, 1, channel);
  return put16(put16(p, class), method);
}

static void flush(Wire *wire) {
  send_all(wire->fd, wire->out, wire->out_length);
  wire->out_length = 0;
}

typedef struct {
  int type, channel;
  size_t length;
  const u8 *payload;
} Frame;

// Makes sure that `n` more bytes are there; without `wait`, 0 when they are not.
static int more(Wire *wire, size_t n, int wait) {
  while (wire->to - wire->from < n) {
    if (wire->from == wire->to) wire->from = wire->to = 0;
    if (wire->from + n > sizeof wire->in || wire->from > sizeof wire->in / 2) {
      memmove(wire->in, wire->in + wire->from, wire->to - wire->from);
      wire->to -= wire->from, wire->from = 0;
    }
    ssize_t got = recv(wire->fd, wire->in + wire->to, sizeof wire->in - wire->to, wait ? 0 : MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
      errno = 0;
      return 0; // With `wait`, the pause of a consumer is over.
    }
    if (got <= 0) die("the broker closed the connection");
    wire->to += got;
  }
  return 1;
}

// The payload is valid until the next call. 0 when there is none yet, and there was nothing to wait for.
static int next_frame(Wire *wire, Frame *frame, int wait) {
  if (!more(wire, 7, wait)) return 0;
  size_t length = get32(wire->in + wire->from + 3);
  if (length + 8 > sizeof wire->in) die("a frame is longer than was agreed");
  if (!more(wire, length + 8, wait)) return 0;
  const u8 *p = wire->in + wire->from;
  if (p[length + 7] != 0xCE) die("a frame does not end with 0xCE");
  *frame = (Frame){p[0], get16(p + 1), length, p + 7};
  wire->from += length + 8;
  return 1;
}

static void closed(const Frame *frame) {
  errno = 0;
  const u8 *p = frame->payload;
  fprintf(stderr, "%s: closed by the broker: %u %.*s\n", tool, get16(p + 4), p[6], p + 7);
  exit(2);
}

static int is_method(const Frame *frame, int class, int method) {
  if (frame->type != 1) return 0;
  int c = get16(frame->payload), m = get16(frame->payload + 2);
  if ((c == 10 && m == 50) || (c == 20 && m == 40)) closed(frame);
  return c == class && m == method;
}

// Sends what is in the buffer and waits for one method; others that come before are dropped.
static Frame call(Wire *wire, int class, int method) {
  Frame frame;
  flush(wire);
  while (!next_frame(wire, &frame, 1) || !is_method(&frame, class, method)) {}
  return frame;
}

static Wire *open_wire(void) {
  Wire *wire = calloc(1, sizeof *wire);
  wire->fd = dial(port);
  send_all(wire->fd, (const u8 *)"AMQP\0\0\11\1", 8);
  call(wire, 10, 10);
  u8 *start = wire->out, *p = begin_method(start, 0, 10, 11);
  p = put32(p, 0), p = put_short(p, "PLAIN"), p = put32(p, 12), memcpy(p, "\0guest\0guest", 12), p += 12;
  p = put_short(p, "en_US");
  wire->out_length = end(start, p) - wire->out;
  call(wire, 10, 30);
  p = put16(put32(put16(begin_method(start, 0, 10, 31), 64), frame_max), 0);
  p = end(start, p);
  u8 *open = p;
  p = put_short(begin_method(open, 0, 10, 40), "/"), *p++ = 0, *p++ = 0;
  wire->out_length = end(open, p) - wire->out;
  call(wire, 10, 41);
  p = begin_method(start, 1, 20, 10), *p++ = 0;
  wire->out_length = end(start, p) - wire->out;
  call(wire, 20, 11);
  return wire;
}

static void declare(Wire *wire, const char *name) {
  u8 *p = put16(begin_method(wire->out, 1, 50, 10), 0);
  p = put_short(p, name), *p++ = 2; // Durable.
  u8 *table = p;
  p = put_short(table + 4, "x-queue-type"), *p++ = 'S', p = put32(p, strlen(type));
  memcpy(p, type, strlen(type)), p += strlen(type);
  put32(table, p - table - 4);
  wire->out_length = end(wire->out, p) - wire->out;
  call(wire, 50, 11);
}

static void consume_from(Wire *wire, const char *name, const char *tag) {
  u8 *p = put16(begin_method(wire->out, 1, 60, 20), 0);
  p = put_short(put_short(p, name), tag), *p++ = 0, p = put32(p, 0);
  wire->out_length = end(wire->out, p) - wire->out;
  call(wire, 60, 21);
}

static void queue_name(char *out, uint64_t index) {
  if (queues > 0) snprintf(out, 200, "%s%lu", queue, index % queues);
  else snprintf(out, 200, "%s", queue);
}

// One whole publish: method, header, body frames. Returns its length, and where the body begins.
static size_t build_publish(u8 *bytes, const char *key, size_t *body_at) {
  u8 *start = bytes, *p = put16(begin_method(start, 1, 60, 40), 0);
  p = put_short(put_short(p, ""), key), *p++ = 0;
  start = end(start, p);
  p = put16(put16(begin(start, 2, 1), 60), 0);
  p = put64(p, size), p = put16(p, 0x1000), *p++ = 2; // delivery-mode: persistent
  start = end(start, p);
  for (size_t at = 0; at < size; ) {
    size_t here = size - at < frame_max - 8 ? size - at : frame_max - 8;
    p = begin(start, 3, 1);
    if (at == 0) *body_at = p - bytes;
    fill_noise(p, here);
    start = end(start, p + here), at += here;
  }
  return start - bytes;
}

// ---- Rates of the first and of the last messages.

static void note_progress(uint64_t before, uint64_t after) {
  if (edge == 0) return;
  if (before < edge && after >= edge) first_edge_at = now();
  if (count_max > edge && before < count_max - edge && after >= count_max - edge) before_last_edge_at = now();
  if (before < count_max && after >= count_max) last_at = now();
}

static Histogram confirm_latency, delivery_latency;

// ---- Publishing.

typedef struct {
  Wire *wire;
  uint64_t next, first_unconfirmed; // Delivery tags.
  double *sent_at;
  u8 *settled; // Of the tags from the first that is not settled, modulo the window.
} Publisher;

static void settle(Publisher *self, uint64_t tag, double at) {
  if (self->settled[tag % window]) return;
  self->settled[tag % window] = 1;
  note_latency(&confirm_latency, at - self->sent_at[tag % window]);
}

static void read_confirm(Publisher *self, const Frame *frame) {
  int is_ack = is_method(frame, 60, 80), is_nack = is_method(frame, 60, 120);
  if (!is_ack && !is_nack) return;
  uint64_t tag = get64(frame->payload + 4);
  double at = now();
  if (frame->payload[12] & 1) {
    for (uint64_t t = self->first_unconfirmed; t <= tag; t++) settle(self, t, at);
  } else settle(self, tag, at);
  uint64_t done = 0;
  while (self->first_unconfirmed < self->next && self->settled[self->first_unconfirmed % window])
    self->settled[self->first_unconfirmed++ % window] = 0, done++;
  if (is_nack) atomic_fetch_add(&refused, 1);
  uint64_t before = atomic_fetch_add(&confirmed, done);
  note_progress(before, before + done);
}

static int may_send(void) {
  if (atomic_load(&stop)) return 0;
  return !count_max || atomic_load(&sent) < count_max;
}

static void *publish(void *argument) {
  size_t index = (size_t)argument, body_at = 0, length = 0;
  Publisher self = {.wire = open_wire(), .next = 1, .first_unconfirmed = 1};
  self.sent_at = calloc(window, sizeof *self.sent_at), self.settled = calloc(window, 1);
  u8 *p = begin_method(self.wire->out, 1, 85, 10);
  *p++ = 0, self.wire->out_length = end(self.wire->out, p) - self.wire->out;
  call(self.wire, 85, 11);
  u8 *message = malloc(size + size / 64 + 1024);
  char key[200];
  queue_name(key, index), length = build_publish(message, key, &body_at);
  double begun = now();
  for (;;) {
    double at = now();
    int room = window - (int)(self.next - self.first_unconfirmed), due = batch_max;
    if (rate > 0) due = (int)((at - begun) * rate / conns) - (int)(self.next - 1);
    if (room > due) room = due;
    for (; room > 0 && may_send(); room--) {
      uint64_t number = atomic_fetch_add(&sent, 1);
      if (queues > 0) queue_name(key, number), length = build_publish(message, key, &body_at);
      if (size >= 8) memcpy(message + body_at, &at, 8);
      if (self.wire->out_length + length > sizeof self.wire->out) flush(self.wire);
      if (length > sizeof self.wire->out) send_all(self.wire->fd, message, length);
      else memcpy(self.wire->out + self.wire->out_length, message, length), self.wire->out_length += length;
      self.sent_at[self.next++ % window] = at;
    }
    if (self.wire->out_length > 0) flush(self.wire);
    int all_confirmed = self.next == self.first_unconfirmed;
    if (all_confirmed && !may_send()) break;
    Frame frame;
    int is_full = self.next - self.first_unconfirmed == (uint64_t)window || !may_send();
    if (rate > 0 && !is_full) {
      struct pollfd readable = {self.wire->fd, POLLIN, 0};
      struct timespec pause = {0, 200000};
      ppoll(&readable, 1, &pause, NULL);
    }
    for (int wait = is_full; next_frame(self.wire, &frame, wait); wait = 0) read_confirm(&self, &frame);
    if (seconds_max > 0 && now() - started >= seconds_max && atomic_load(&publishers_left) > 0) atomic_store(&stop, 1);
  }
  atomic_fetch_sub(&publishers_left, 1);
  close(self.wire->fd);
  return NULL;
}

// ---- Consuming.

static void acknowledge(Wire *wire, uint64_t tag) {
  if (wire->out_length + 64 > sizeof wire->out) flush(wire);
  u8 *start = wire->out + wire->out_length, *p = put64(begin_method(start, 1, 60, 80), tag);
  *p++ = 0, wire->out_length = end(start, p) - wire->out;
}

typedef struct {
  uint64_t tag, left;
  double sent_at;
} Delivery;

// Returns 1 when a message is complete, and acknowledged.
static int read_delivery(Wire *wire, const Frame *frame, Delivery *delivery) {
  if (frame->type == 1) {
    if (!is_method(frame, 60, 60)) return 0;
    const u8 *p = frame->payload + 4;
    p += 1 + p[0];
    delivery->tag = get64(p);
    if (p[8]) atomic_fetch_add(&redelivered, 1);
    return 0;
  }
  if (frame->type == 2) delivery->left = get64(frame->payload + 4), delivery->sent_at = 0;
  else if (frame->type == 3) {
    if (delivery->sent_at == 0 && frame->length >= 8) memcpy(&delivery->sent_at, frame->payload, 8);
    delivery->left -= frame->length;
  } else return 0;
  if (delivery->left > 0) return 0;
  if (delivery->sent_at > 0 && rate > 0) note_latency(&delivery_latency, now() - delivery->sent_at);
  acknowledge(wire, delivery->tag);
  return 1;
}

static Wire *open_consumer(void) {
  Wire *wire = open_wire();
  u8 *p = put16(put32(begin_method(wire->out, 1, 60, 10), 0), prefetch);
  *p++ = 0, wire->out_length = end(wire->out, p) - wire->out;
  call(wire, 60, 11);
  struct timeval pause = {0, 100000}; // So that it notices the end.
  setsockopt(wire->fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause);
  return wire;
}

static atomic_int counts_consumed; // `--edge` and `--count` are those of consumers.

static void *consume(void *argument) {
  size_t index = (size_t)argument;
  Wire *wire = open_consumer();
  Delivery delivery = {0};
  char name[200];
  queue_name(name, index), consume_from(wire, name, "");
  while (!atomic_load(&stop)) {
    Frame frame;
    uint64_t done = 0;
    for (int wait = 1; next_frame(wire, &frame, wait); wait = 0) done += read_delivery(wire, &frame, &delivery);
    flush(wire);
    uint64_t before = atomic_fetch_add(&acked, done);
    if (atomic_load(&counts_consumed)) {
      note_progress(before, before + done);
      if (count_max && before + done >= count_max) atomic_store(&stop, 1);
    }
    if (seconds_max > 0 && now() - started >= seconds_max) atomic_store(&stop, 1);
  }
  // So that nothing is redelivered because the connection ended before its acks were read.
  u8 *p = put16(begin_method(wire->out + wire->out_length, 1, 20, 40), 200);
  p = put_short(p, ""), p = put32(p, 0), wire->out_length = end(wire->out + wire->out_length, p) - wire->out;
  flush(wire);
  shutdown(wire->fd, SHUT_WR);
  while (recv(wire->fd, wire->in, sizeof wire->in, 0) > 0 || errno == EAGAIN) errno = 0;
  close(wire->fd);
  return NULL;
}

// ---- Many queues with a consumer each.

static void *hold(void *argument) {
  size_t index = (size_t)argument;
  Wire *wire = open_consumer();
  Delivery delivery = {0};
  for (int i = index; i < queues; i += conns) {
    char name[200], tag[32];
    queue_name(name, i), snprintf(tag, sizeof tag, "c%d", i);
    declare(wire, name), consume_from(wire, name, tag);
  }
  atomic_fetch_sub(&publishers_left, 1);
  while (!atomic_load(&stop)) {
    Frame frame;
    uint64_t done = 0;
    for (int wait = 1; next_frame(wire, &frame, wait); wait = 0) done += read_delivery(wire, &frame, &delivery);
    flush(wire);
    atomic_fetch_add(&acked, done);
  }
  close(wire->fd);
  return NULL;
}

static void until_input_ends(void) {
  while (atomic_load(&publishers_left) > 0) usleep(1000);
  printf("{\"declared\":%d,\"seconds\":%.3f}\n", queues, now() - started);
  fflush(stdout);
  char byte;
  while (read(0, &byte, 1) > 0) {}
  atomic_store(&stop, 1);
}

static void purge(void) {
  Wire *wire = open_wire();
  declare(wire, queue);
  u8 *p = put16(begin_method(wire->out, 1, 50, 30), 0);
  p = put_short(p, queue), *p++ = 0, wire->out_length = end(wire->out, p) - wire->out;
  Frame frame = call(wire, 50, 31);
  printf("{\"purged\":%u}\n", get32(frame.payload + 4));
  close(wire->fd);
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--queue")) queue = value;
    else if (!strcmp(name, "--queues")) queues = atoi(value);
    else if (!strcmp(name, "--type")) type = value;
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--conns")) conns = atoi(value);
    else if (!strcmp(name, "--window")) window = atoi(value);
    else if (!strcmp(name, "--prefetch")) prefetch = atoi(value);
    else if (!strcmp(name, "--rate")) rate = atof(value);
    else if (!strcmp(name, "--edge")) edge = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else fprintf(stderr, "amqp-raw: unknown option %s\n", name), exit(1);
  }
}

static void report(double cpu) {
  double seconds = now() - started;
  printf("{\"sent\":%lu,\"confirmed\":%lu,\"errors\":%lu,\"acked\":%lu,\"redelivered\":%lu,\"seconds\":%.4f,"
         "\"confirmedPerSecond\":%.0f,\"ackedPerSecond\":%.0f,\"confirmP50Ms\":%.3f,\"confirmP99Ms\":%.3f,"
         "\"confirmMaxMs\":%.3f,\"deliveryP50Ms\":%.3f,\"deliveryP99Ms\":%.3f,\"firstPerSecond\":%.0f,"
         "\"lastPerSecond\":%.0f,\"cpuSeconds\":%.2f}\n",
         sent, confirmed, refused, acked, redelivered, seconds, confirmed / seconds, acked / seconds,
         percentile_ms(&confirm_latency, .5), percentile_ms(&confirm_latency, .99), confirm_latency.max * 1e3,
         percentile_ms(&delivery_latency, .5), percentile_ms(&delivery_latency, .99),
         first_edge_at > 0 ? edge / (first_edge_at - started) : 0,
         last_at > before_last_edge_at && before_last_edge_at > 0 ? edge / (last_at - before_last_edge_at) : 0,
         cpu_seconds() - cpu);
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : "";
  int publishes = !strcmp(mode, "publish"), consumes = !strcmp(mode, "consume"), flows = !strcmp(mode, "flow");
  int holds = !strcmp(mode, "hold"), purges = !strcmp(mode, "purge");
  parse(count, words);
  if (!port || (!purges && !holds && seconds_max <= 0 && !count_max) ||
      !(publishes || consumes || flows || holds || purges) || (holds && queues == 0)) {
    fprintf(stderr, "usage: amqp-raw publish|consume|flow|hold|purge --port P … (see the source's head)\n");
    return 1;
  }
  if (purges) return purge(), 0;
  if (!holds && queues == 0) {
    Wire *wire = open_wire();
    declare(wire, queue);
    close(wire->fd);
  }
  double cpu = cpu_seconds();
  pthread_t *threads = calloc(2 * conns, sizeof *threads);
  size_t running = 0;
  atomic_store(&counts_consumed, consumes), atomic_store(&publishers_left, conns);
  started = now();
  for (size_t i = 0; i < (size_t)conns && (consumes || flows); i++)
    pthread_create(&threads[running++], NULL, consume, (void *)i);
  for (size_t i = 0; i < (size_t)conns && (publishes || flows); i++)
    pthread_create(&threads[running++], NULL, publish, (void *)i);
  for (size_t i = 0; i < (size_t)conns && holds; i++) pthread_create(&threads[running++], NULL, hold, (void *)i);
  if (holds) until_input_ends();
  for (size_t i = 0; i < running; i++) pthread_join(threads[i], NULL);
  report(cpu);
  return refused > 0 ? 3 : 0;
}
