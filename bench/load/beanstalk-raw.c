// The protocol of beanstalkd without a client library. One thread for all connections.
//
//   beanstalk-raw put  --port P [--tube T] [--size BYTES] [--conns C] [--window W] --seconds S | --count N
//   beanstalk-raw take --port P [--tube T] [--conns C] --seconds S | --count N     reserve, then delete
//   beanstalk-raw both --port P [--tube T] [--size BYTES] [--conns C] --seconds S  half of the connections each
//
// Every connection waits for each answer before it goes on, as clients do; with --window W it has W puts under way.
// `take` ends when it is over or when a reserve finds nothing for a second. Prints one JSON line.
#define _GNU_SOURCE
static const char tool[] = "beanstalk-raw";
#include "raw.h"
#include <sys/epoll.h>

typedef struct {
  int fd, is_taker, outstanding;
  enum { RESERVING, DELETING } step;
  size_t skip; // Bytes of a body that are still to come.
  size_t line_length;
  char line[256];
  double asked;
} Worker;

static int port, conns = 50, window = 1;
static const char *tube = "default";
static size_t size = 1024;
static double seconds_max = 0, started;
static uint64_t count_max = 0;

static uint64_t put_done, put_sent, taken_done, take_sent, errors;
static int open_workers, stopping;
static u8 *command; // A whole put.
static size_t command_length;
static Histogram put_latency, take_latency;

static void over(Worker *worker) {
  close(worker->fd);
  worker->fd = -1;
  open_workers--;
}

static void send_puts(Worker *worker) {
  while (worker->outstanding < window && !stopping && (!count_max || put_sent < count_max)) {
    worker->asked = now();
    send_all(worker->fd, command, command_length);
    worker->outstanding++, put_sent++;
  }
  if (worker->outstanding == 0) over(worker);
}

static void send_reserve(Worker *worker) {
  if (stopping || (count_max && take_sent >= count_max)) {
    over(worker);
    return;
  }
  static const char line[] = "reserve-with-timeout 1\r\n";
  worker->step = RESERVING, worker->asked = now(), take_sent++;
  send_all(worker->fd, (const u8 *)line, sizeof line - 1);
}

static void take_answer(Worker *worker, const char *line) {
  if (worker->step == RESERVING) {
    unsigned long long id;
    size_t length;
    if (sscanf(line, "RESERVED %llu %zu", &id, &length) == 2) {
      char text[64];
      int n = snprintf(text, sizeof text, "delete %llu\r\n", id);
      worker->skip = length + 2, worker->step = DELETING;
      send_all(worker->fd, (u8 *)text, n);
    } else if (!strncmp(line, "TIMED_OUT", 9)) over(worker);
    else errors++, over(worker);
    return;
  }
  if (strncmp(line, "DELETED", 7)) errors++;
  else taken_done++, note_latency(&take_latency, now() - worker->asked);
  send_reserve(worker);
}

static void put_answer(Worker *worker, const char *line) {
  if (strncmp(line, "INSERTED", 8)) errors++;
  else put_done++, note_latency(&put_latency, now() - worker->asked);
  worker->outstanding--;
  send_puts(worker);
}

static void receive(Worker *worker) {
  static u8 bytes[1 << 18];
  ssize_t got = recv(worker->fd, bytes, sizeof bytes, 0);
  if (got <= 0) die("the broker closed the connection");
  for (ssize_t at = 0; at < got && worker->fd >= 0;) {
    if (worker->skip > 0) {
      size_t here = (size_t)(got - at) < worker->skip ? (size_t)(got - at) : worker->skip;
      worker->skip -= here, at += here;
      continue;
    }
    char byte = bytes[at++];
    if (byte != '\n') {
      if (worker->line_length < sizeof worker->line - 1) worker->line[worker->line_length++] = byte;
      continue;
    }
    worker->line[worker->line_length] = 0, worker->line_length = 0;
    if (worker->is_taker) take_answer(worker, worker->line);
    else put_answer(worker, worker->line);
  }
}

// Waits for the answer to a line that is sent before the work begins.
static void ask(int fd, const char *text) {
  char answer[256];
  send_all(fd, (const u8 *)text, strlen(text));
  for (size_t n = 0; n < sizeof answer; n++) {
    if (recv(fd, answer + n, 1, 0) != 1) die("the broker closed the connection");
    if (answer[n] == '\n') return;
  }
  die("an answer is too long");
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--tube")) tube = value;
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--conns")) conns = atoi(value);
    else if (!strcmp(name, "--window")) window = atoi(value);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else fprintf(stderr, "beanstalk-raw: unknown option %s\n", name), exit(1);
  }
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : "";
  int puts = !strcmp(mode, "put"), takes = !strcmp(mode, "take"), both = !strcmp(mode, "both");
  parse(count, words);
  if ((!puts && !takes && !both) || !port || (seconds_max <= 0 && !count_max)) {
    fprintf(stderr, "usage: beanstalk-raw put|take|both --port P --seconds S|--count N (see the source's head)\n");
    return 1;
  }
  command = malloc(size + 128);
  command_length = sprintf((char *)command, "put 1024 0 120 %zu\r\n", size);
  fill_noise(command + command_length, size);
  command_length += size;
  memcpy(command + command_length, "\r\n", 2), command_length += 2;

  int poller = epoll_create1(0);
  Worker *workers = calloc(conns, sizeof *workers);
  for (int i = 0; i < conns; i++) {
    Worker *worker = &workers[i];
    char text[300];
    worker->fd = dial(port), worker->is_taker = takes || (both && i % 2 == 1);
    snprintf(text, sizeof text, worker->is_taker ? "watch %s\r\n" : "use %s\r\n", tube);
    ask(worker->fd, text);
    if (worker->is_taker && strcmp(tube, "default")) ask(worker->fd, "ignore default\r\n");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker};
    epoll_ctl(poller, EPOLL_CTL_ADD, worker->fd, &event);
  }
  double cpu = cpu_seconds();
  started = now(), open_workers = conns;
  for (int i = 0; i < conns; i++) workers[i].is_taker ? send_reserve(&workers[i]) : send_puts(&workers[i]);
  while (open_workers > 0) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, 100);
    for (int i = 0; i < n; i++) receive(events[i].data.ptr);
    if (seconds_max > 0 && now() - started >= seconds_max) stopping = 1;
    // What takes has a job, or waits for one that does not come any more: a second at most.
    if (stopping && now() - started >= seconds_max + 30) die("some answers never came");
  }
  double seconds = now() - started;
  if (seconds_max > 0 && seconds > seconds_max) seconds = seconds_max;
  printf("{\"put\":%lu,\"taken\":%lu,\"errors\":%lu,\"seconds\":%.4f,\"putsPerSecond\":%.0f,\"takenPerSecond\":%.0f,"
         "\"putP50Ms\":%.3f,\"putP99Ms\":%.3f,\"takeP50Ms\":%.3f,\"takeP99Ms\":%.3f,\"cpuSeconds\":%.2f}\n",
         put_done, taken_done, errors, seconds, put_done / seconds, taken_done / seconds,
         percentile_ms(&put_latency, .5), percentile_ms(&put_latency, .99), percentile_ms(&take_latency, .5),
         percentile_ms(&take_latency, .99), cpu_seconds() - cpu);
  return errors > 0 ? 3 : 0;
}
