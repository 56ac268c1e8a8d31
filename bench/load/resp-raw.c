// Lists and channels of Redis' protocol, without a client library, in one thread.
//
//   resp-raw push   --port P [--key K] [--size BYTES] [--conns C] [--window W] --count N     LPUSH; W commands at a time, then their answers
//   resp-raw pop    --port P [--key K] [--conns C] [--window W] --count N                    RPOP
//   resp-raw fanout --port P [--size BYTES] [--conns SUBSCRIBERS] [--window W] --seconds S   PUBLISH to one channel, and all that is delivered
//
// Prints one JSON line.
#define _GNU_SOURCE
static const char tool[] = "resp-raw";
#include "raw.h"

#define CONNS_MAX 4096

static int port;
static const char *key = "bench";
static size_t size = 16, conns = 50;
static uint64_t window = 1, count_max = 0;
static double seconds_max = 0;

typedef struct {
  int fd;
  uint64_t left;   // answers that are still to come
  size_t skip;     // bytes of a bulk string that are still to come
  char line[64];
  size_t at;
} Conn;

static Conn all[CONNS_MAX];
static struct pollfd polled[CONNS_MAX];
static uint64_t errors = 0;
static u8 in[1 << 18];

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--key")) key = value;
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--conns")) conns = atol(value);
    else if (!strcmp(name, "--window")) window = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else fprintf(stderr, "resp-raw: unknown option %s\n", name), exit(1);
  }
}

// Takes what has come on a connection, and counts whole answers: numbers, strings, errors.
static void take(Conn *c, size_t got) {
  for (size_t i = 0; i < got;) {
    if (c->skip > 0) {
      size_t here = got - i < c->skip ? got - i : c->skip;
      i += here, c->skip -= here;
      if (c->skip == 0) c->left--;
      continue;
    }
    u8 byte = in[i++];
    if (byte != '\n') {
      if (c->at < sizeof c->line - 1) c->line[c->at++] = byte;
      continue;
    }
    c->line[c->at] = 0, c->at = 0;
    long length = c->line[0] == '$' ? atol(c->line + 1) : -1;
    if (c->line[0] == '$' && length >= 0) c->skip = length + 2;
    else {
      if (c->line[0] != ':') errors++;
      c->left--;
    }
  }
}

static size_t read_some(int fd) {
  ssize_t got = recv(fd, in, sizeof in, 0);
  if (got <= 0) die("the server closed the connection");
  return got;
}

static void lists(int pushes) {
  u8 *command = malloc(size + 256);
  size_t length = sprintf((char *)command, "*%d\r\n$%d\r\n%s\r\n$%zu\r\n%s\r\n", pushes ? 3 : 2, pushes ? 5 : 4,
                          pushes ? "LPUSH" : "RPOP", strlen(key), key);
  if (pushes) {
    length += sprintf((char *)command + length, "$%zu\r\n", size);
    fill_noise(command + length, size), length += size;
    memcpy(command + length, "\r\n", 2), length += 2;
  }
  u8 *batch = malloc(length * window);
  for (uint64_t i = 0; i < window; i++) memcpy(batch + i * length, command, length);
  for (size_t i = 0; i < conns; i++) all[i].fd = dial(port), polled[i] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
  double started = now(), cpu = cpu_seconds();
  uint64_t sent = 0, done = 0;
  Histogram *latency = calloc(1, sizeof *latency);
  double *begun = calloc(conns, sizeof *begun);
  for (size_t i = 0; i < conns && sent < count_max; i++)
    begun[i] = now(), send_all(all[i].fd, batch, length * window), all[i].left = window, sent += window;
  while (done < sent) {
    if (poll(polled, conns, 10000) <= 0) die("nothing comes");
    for (size_t i = 0; i < conns; i++) {
      if (!(polled[i].revents & (POLLIN | POLLHUP)) || all[i].left == 0) continue;
      uint64_t before = all[i].left;
      take(&all[i], read_some(all[i].fd));
      done += before - all[i].left;
      if (all[i].left > 0) continue;
      note_latency(latency, now() - begun[i]);
      if (sent >= count_max) continue;
      begun[i] = now(), send_all(all[i].fd, batch, length * window), all[i].left = window, sent += window;
    }
  }
  double seconds = now() - started;
  printf("{\"done\":%lu,\"errors\":%lu,\"seconds\":%.4f,\"perSecond\":%.0f,\"p50Ms\":%.3f,\"p99Ms\":%.3f,\"cpuSeconds\":%.2f}\n",
         done, errors, seconds, done / seconds, percentile_ms(latency, 0.5), percentile_ms(latency, 0.99), cpu_seconds() - cpu);
}

static void fanout(void) {
  char words[256];
  for (size_t i = 0; i < conns; i++) {
    all[i].fd = dial(port), polled[i] = (struct pollfd){.fd = all[i].fd, .events = POLLIN};
    int length = sprintf(words, "*2\r\n$9\r\nSUBSCRIBE\r\n$%zu\r\n%s\r\n", strlen(key), key);
    send_all(all[i].fd, (u8 *)words, length);
    read_some(all[i].fd);
  }
  // What each subscriber is sent for one message.
  size_t each = sprintf(words, "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, size) + size + 2;
  u8 *command = malloc(size + 256);
  size_t length = sprintf((char *)command, "*3\r\n$7\r\nPUBLISH\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(key), key, size);
  fill_noise(command + length, size), length += size;
  for (size_t i = length - size; i < length; i++) command[i] = 'a' + command[i] % 26;
  memcpy(command + length, "\r\n", 2), length += 2;
  u8 *batch = malloc(length * window);
  for (uint64_t i = 0; i < window; i++) memcpy(batch + i * length, command, length);
  Conn *publisher = &all[conns];
  publisher->fd = dial(port), polled[conns] = (struct pollfd){.fd = publisher->fd, .events = POLLIN};
  double started = now(), cpu = cpu_seconds();
  uint64_t published = 0, bytes = 0;
  int is_over = 0;
  while (!is_over || publisher->left > 0 || bytes < published * conns * each) {
    // The next ones when all subscribers have nearly caught up: what waits is bounded.
    if (!is_over && publisher->left == 0 && published * conns * each - bytes <= 2 * window * conns * each)
      send_all(publisher->fd, batch, length * window), publisher->left = window, published += window;
    if (poll(polled, conns + 1, 10000) <= 0) die("nothing comes");
    for (size_t i = 0; i <= conns; i++) {
      if (!(polled[i].revents & (POLLIN | POLLHUP))) continue;
      size_t got = read_some(polled[i].fd);
      if (i < conns) bytes += got;
      else take(publisher, got);
    }
    is_over = is_over || now() - started >= seconds_max;
  }
  double seconds = now() - started;
  printf("{\"published\":%lu,\"delivered\":%lu,\"errors\":%lu,\"seconds\":%.4f,\"deliveredPerSecond\":%.0f,\"cpuSeconds\":%.2f}\n",
         published, bytes / each, errors, seconds, bytes / each / seconds, cpu_seconds() - cpu);
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : "";
  parse(count, words);
  if (conns >= CONNS_MAX) die("too many connections");
  if (port && count_max && !strcmp(mode, "push")) lists(1);
  else if (port && count_max && !strcmp(mode, "pop")) lists(0);
  else if (port && seconds_max > 0 && !strcmp(mode, "fanout")) fanout();
  else return fprintf(stderr, "usage: resp-raw push|pop|fanout --port P … (see the source's head)\n"), 1;
  return errors > 0 ? 3 : 0;
}
