// A Redis list as a queue, without a client library: one connection, W commands under way.
//
//   redis-raw push --port P [--key K] [--size BYTES] [--window W] --count N     LPUSH
//   redis-raw pop  --port P [--key K] [--window W] --count N                    RPOP
//
// Prints one JSON line.
#define _GNU_SOURCE
static const char tool[] = "redis-raw";
#include "raw.h"

static int port;
static const char *key = "bench";
static size_t size = 1024;
static uint64_t window = 1000, count_max = 0;

static u8 in[1 << 18];
static size_t in_from, in_to;

static u8 next_byte(int fd) {
  if (in_from == in_to) {
    ssize_t got = recv(fd, in, sizeof in, 0);
    if (got <= 0) die("the server closed the connection");
    in_from = 0, in_to = got;
  }
  return in[in_from++];
}

static void skip(int fd, size_t n) {
  while (n > 0) {
    size_t here = in_to - in_from < n ? in_to - in_from : n;
    in_from += here, n -= here;
    if (n > 0) next_byte(fd), n--;
  }
}

// Reads one answer, an integer or a string. Returns 0 for an error or for nothing.
static int read_answer(int fd) {
  char line[128];
  size_t n = 0;
  for (u8 byte; (byte = next_byte(fd)) != '\n';)
    if (n < sizeof line - 1) line[n++] = byte;
  line[n] = 0;
  if (line[0] == ':') return 1;
  if (line[0] != '$' || atol(line + 1) < 0) return 0;
  skip(fd, atol(line + 1) + 2);
  return 1;
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--key")) key = value;
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--window")) window = strtoull(value, NULL, 10);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else fprintf(stderr, "redis-raw: unknown option %s\n", name), exit(1);
  }
}

int main(int count, char **words) {
  int pushes = count > 1 && !strcmp(words[1], "push"), pops = count > 1 && !strcmp(words[1], "pop");
  parse(count, words);
  if (!port || !count_max || (!pushes && !pops)) {
    fprintf(stderr, "usage: redis-raw push|pop --port P --count N (see the source's head)\n");
    return 1;
  }
  u8 *command = malloc(size + 256), *out = malloc(1 << 18 | (size + 256));
  size_t length = sprintf((char *)command, "*%d\r\n$%d\r\n%s\r\n$%zu\r\n%s\r\n", pushes ? 3 : 2, pushes ? 5 : 4,
                          pushes ? "LPUSH" : "RPOP", strlen(key), key);
  if (pushes) {
    length += sprintf((char *)command + length, "$%zu\r\n", size);
    fill_noise(command + length, size), length += size;
    memcpy(command + length, "\r\n", 2), length += 2;
  }
  int fd = dial(port);
  uint64_t sent = 0, done = 0, errors = 0;
  double started = now(), cpu = cpu_seconds();
  while (done < count_max) {
    size_t filled = 0;
    for (; sent < count_max && sent - done < window && filled + length <= 1 << 18; sent++)
      memcpy(out + filled, command, length), filled += length;
    if (filled == 0 && sent < count_max && sent - done < window) send_all(fd, command, length), sent++;
    send_all(fd, out, filled);
    do errors += !read_answer(fd), done++;
    while (in_from < in_to && done < sent);
  }
  double seconds = now() - started;
  printf("{\"done\":%lu,\"errors\":%lu,\"seconds\":%.4f,\"perSecond\":%.0f,\"cpuSeconds\":%.2f}\n", done, errors, seconds,
         done / seconds, cpu_seconds() - cpu);
  return errors > 0 ? 3 : 0;
}
