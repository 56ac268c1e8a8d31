// What the load generators without a client library share: sockets, time, percentiles and the report's common part.
// Each of them defines `tool` before it includes this.
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef uint8_t u8;

__attribute__((noreturn)) static void die(const char *what) {
  fprintf(stderr, "%s: %s%s%s\n", tool, what, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(2);
}

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

static int dial(int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (connect(fd, (void *)&address, sizeof address)) die("connect");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

static void send_all(int fd, const u8 *bytes, size_t n) {
  while (n > 0) {
    ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
    if (sent < 0) die("send");
    bytes += sent, n -= sent;
  }
}

// Random bytes: neither a disk nor a broker can make less of them.
static void fill_noise(u8 *bytes, size_t n) {
  uint64_t x = 88172645463325252ull;
  for (size_t i = 0; i < n; i++) x ^= x << 13, x ^= x >> 7, x ^= x << 17, bytes[i] = x;
}

// Latencies in microseconds: 64 steps for each power of two, so that a percentile is right to 1.6 %.
typedef struct {
  uint64_t counts[64 * 40], total;
  double max;
} Histogram;

__attribute__((unused)) static void note_latency(Histogram *h, double seconds) {
  double us = seconds * 1e6;
  uint64_t v = us < 0 ? 0 : (uint64_t)us;
  int power = v < 64 ? 0 : 63 - __builtin_clzll(v) - 5;
  size_t at = power == 0 ? v : (size_t)power * 64 + (v >> power);
  if (at >= sizeof h->counts / sizeof *h->counts) at = sizeof h->counts / sizeof *h->counts - 1;
  h->counts[at]++, h->total++;
  if (seconds > h->max) h->max = seconds;
}

__attribute__((unused)) static double percentile_ms(const Histogram *h, double share) {
  uint64_t want = (uint64_t)(share * h->total), seen = 0;
  for (size_t at = 0; at < sizeof h->counts / sizeof *h->counts; at++) {
    seen += h->counts[at];
    if (seen > want) return (at < 64 ? (double)at : (double)((at % 64) << (at / 64))) / 1e3;
  }
  return h->max * 1e3;
}
