// A Redis stream with a group, without a client library: producers add entries, consumers read and acknowledge them.
//
//   redis-streams --port P [--key K] [--size BYTES] [--producers N] [--window W] [--consumers N] [--batch B] --count N
//
// Each producer has one connection with up to W XADD under way. Each consumer has one connection: XREADGROUP with COUNT B, then one XACK for all of it together with
// the next XREADGROUP. It ends when every entry is acknowledged. Prints one JSON line.
#define _GNU_SOURCE
static const char tool[] = "redis-streams";
#include "raw.h"

static int port;
static const char *key = "bench";
static size_t size = 1024;
static uint64_t window = 100, count_max = 0, batch = 100;
static int producers = 4, consumers = 4;
static atomic_ulong added, acked, errors, next_entry;
static atomic_int over;

struct connection {
  int fd, number;
  size_t from, to;
  u8 in[1 << 18];
};

static u8 next_byte(struct connection *c) {
  if (c->from == c->to) {
    ssize_t got = recv(c->fd, c->in, sizeof c->in, 0);
    if (got <= 0) {
      if (over) pthread_exit(NULL);
      die("the server closed the connection");
    }
    c->from = 0, c->to = got;
  }
  return c->in[c->from++];
}

static void read_line(struct connection *c, char *line, size_t room) {
  size_t n = 0;
  for (u8 byte; (byte = next_byte(c)) != '\n';)
    if (n < room - 1 && byte != '\r') line[n++] = byte;
  line[n] = 0;
}

// A string of `n` bytes and its end; the first `room` - 1 of them are kept.
static void read_bulk(struct connection *c, size_t n, char *text, size_t room) {
  size_t at = 0, left = n + 2;
  while (left > 0) {
    if (c->from == c->to) next_byte(c), c->from--;
    size_t here = c->to - c->from < left ? c->to - c->from : left;
    for (size_t i = 0; i < here && at + i < room - 1 && at + i < n; i++) text[at + i] = c->in[c->from + i];
    at += here, left -= here, c->from += here;
  }
  text[n < room - 1 ? n : room - 1] = 0;
}

// Skips one value of any form.
static void skip_value(struct connection *c) {
  char line[256];
  read_line(c, line, sizeof line);
  if (line[0] == '-') errors++;
  long n = atol(line + 1);
  if (line[0] == '$' && n >= 0) read_bulk(c, n, line, sizeof line);
  if (line[0] == '*')
    for (long i = 0; i < n; i++) skip_value(c);
}

static void *produce(void *argument) {
  struct connection *c = argument;
  u8 *command = malloc(size + 256), *out = malloc((size + 256) * 64);
  size_t length = sprintf((char *)command, "*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$4\r\ndata\r\n$%zu\r\n", strlen(key), key, size);
  fill_noise(command + length, size), length += size;
  memcpy(command + length, "\r\n", 2), length += 2;
  uint64_t sent = 0, done = 0;
  int more = 1;
  for (;;) {
    size_t filled = 0;
    while (more && sent - done < window && filled + length <= (size + 256) * 64) {
      if (next_entry++ >= count_max) { more = 0; break; }
      memcpy(out + filled, command, length), filled += length, sent++;
    }
    send_all(c->fd, out, filled);
    if (sent == done) return NULL;
    do skip_value(c), done++, added++;
    while (done < sent && c->from < c->to);
  }
}

static void *consume(void *argument) {
  struct connection *c = argument;
  char *out = malloc(batch * 64 + 1024), line[256], text[256], read[256];
  char (*ids)[48] = malloc(batch * 48);
  size_t read_bytes = sprintf(read, "XREADGROUP GROUP g c%d COUNT %lu BLOCK 500 STREAMS %s >\r\n", c->number, batch, key);
  send_all(c->fd, (u8 *)read, read_bytes);
  while (!over) {
    read_line(c, line, sizeof line);
    long entries = 0;
    if (line[0] == '-') errors++;
    if (line[0] == '*' && atol(line + 1) > 0) {
      read_line(c, line, sizeof line);
      skip_value(c);
      read_line(c, line, sizeof line);
      entries = atol(line + 1);
      for (long i = 0; i < entries; i++) {
        read_line(c, text, sizeof text);
        read_line(c, text, sizeof text);
        read_bulk(c, atol(text + 1), ids[i], sizeof ids[i]);
        skip_value(c);
      }
    }
    size_t filled = 0;
    if (entries > 0) {
      filled = sprintf(out, "*%ld\r\n$4\r\nXACK\r\n$%zu\r\n%s\r\n$1\r\ng\r\n", entries + 3, strlen(key), key);
      for (long i = 0; i < entries; i++) filled += sprintf(out + filled, "$%zu\r\n%s\r\n", strlen(ids[i]), ids[i]);
    }
    memcpy(out + filled, read, read_bytes), filled += read_bytes;
    send_all(c->fd, (u8 *)out, filled);
    if (entries > 0) {
      read_line(c, line, sizeof line);
      if (line[0] != ':') errors++;
      else acked += atol(line + 1);
    }
    if (acked >= count_max) over = 1;
  }
  return NULL;
}

static void parse(int count, char **words) {
  for (int i = 1; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--key")) key = value;
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--producers")) producers = atoi(value);
    else if (!strcmp(name, "--window")) window = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--consumers")) consumers = atoi(value);
    else if (!strcmp(name, "--batch")) batch = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else fprintf(stderr, "redis-streams: unknown option %s\n", name), exit(1);
  }
}

static struct connection *open_connection(int number) {
  struct connection *c = calloc(1, sizeof *c);
  c->fd = dial(port), c->number = number;
  return c;
}

int main(int count, char **words) {
  parse(count, words);
  if (!port || !count_max) {
    fprintf(stderr, "usage: redis-streams --port P --count N (see the source's head)\n");
    return 1;
  }
  struct connection *first = open_connection(0);
  char text[512];
  size_t n = sprintf(text, "XGROUP CREATE %s g $ MKSTREAM\r\n", key);
  send_all(first->fd, (u8 *)text, n);
  skip_value(first);
  errors = 0;
  pthread_t threads[1024];
  int used = 0;
  double started = now(), cpu = cpu_seconds();
  for (int i = 0; i < consumers; i++) pthread_create(&threads[used++], NULL, consume, open_connection(i));
  for (int i = 0; i < producers; i++) pthread_create(&threads[used++], NULL, produce, open_connection(i));
  double added_at = 0;
  while (!over) {
    usleep(500);
    if (added_at == 0 && added >= count_max) added_at = now();
  }
  double seconds = now() - started;
  printf("{\"acked\":%lu,\"added\":%lu,\"errors\":%lu,\"seconds\":%.4f,\"perSecond\":%.0f,\"addedPerSecond\":%.0f,\"cpuSeconds\":%.2f}\n",
         acked, added, errors, seconds, acked / seconds, added_at > 0 ? added / (added_at - started) : 0, cpu_seconds() - cpu);
  return errors > 0 ? 3 : 0;
}
