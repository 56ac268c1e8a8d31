// STOMP 1.2 without a client library. One thread for all connections.
//
//   stomp-raw send --port P [--queue Q] [--size BYTES] [--conns C] [--window W] --seconds S | --count N
//   stomp-raw take --port P [--queue Q] [--conns C] [--prefetch N] --seconds S | --count N
//   stomp-raw flow --port P [--queue Q] [--size BYTES] [--conns C] [--window W] [--prefetch N] --seconds S
//
// `send`: persistent messages with a receipt each, W of them without one at most. `take`: one ACK for each message. `flow`: half of the connections each, from when all are
// subscribed; what counts is what is acknowledged. The queue of a connection is Q0, Q1, … up to --queues N (1). Prints one JSON line.
#define _GNU_SOURCE
static const char tool[] = "stomp-raw";
#include "raw.h"
#include <sys/epoll.h>

enum { in_max = 1 << 20, out_max = 1 << 18 };

typedef struct {
  int fd, is_taker, outstanding, is_ready;
  double asked[4096]; // When the receipt of that number was asked for.
  uint64_t sent;
  u8 *in;
  size_t from, to;
  u8 *out;
  size_t out_length;
  u8 *command; // A SEND up to the number of its receipt.
  size_t command_length;
} Worker;

static int port, conns = 50, window = 1, prefetch = 1000, queues = 1;
static const char *queue = "bench";
static size_t size = 1024;
static double seconds_max = 0, started;
static uint64_t count_max = 0;

static uint64_t sent_all, receipts, taken, errors;
static int open_workers, stopping;
static u8 *body;
static Histogram receipt_latency;

static void over(Worker *worker) {
  if (worker->fd < 0) return;
  close(worker->fd);
  worker->fd = -1;
  open_workers--;
}

static void flush(Worker *worker) {
  send_all(worker->fd, worker->out, worker->out_length);
  worker->out_length = 0;
}

static void put(Worker *worker, const void *bytes, size_t n) {
  if (worker->out_length + n > out_max) flush(worker);
  if (n > out_max) {
    send_all(worker->fd, bytes, n);
    return;
  }
  memcpy(worker->out + worker->out_length, bytes, n), worker->out_length += n;
}

static void send_more(Worker *worker) {
  while (worker->outstanding < window && !stopping && (!count_max || sent_all < count_max)) {
    char rest[64];
    int n = snprintf(rest, sizeof rest, "%lu\n\n", worker->sent);
    put(worker, worker->command, worker->command_length);
    put(worker, rest, n);
    put(worker, body, size + 1);
    worker->asked[worker->sent++ % 4096] = now();
    worker->outstanding++, sent_all++;
  }
  if (worker->outstanding == 0) over(worker);
}

// The value of a header, whose name is given with its line's beginning and the colon; 0 when there is none.
static const char *header(const char *head, const char *name, size_t *length) {
  const char *found = strstr(head, name);
  if (!found) return 0;
  found += strlen(name);
  *length = strcspn(found, "\r\n");
  return found;
}

static void take_frame(Worker *worker, const char *head) {
  size_t n;
  if (!strncmp(head, "RECEIPT", 7)) {
    if (!worker->is_ready) {
      worker->is_ready = 1;
      return;
    }
    const char *id = header(head, "\nreceipt-id:", &n);
    receipts++, worker->outstanding--;
    if (id) note_latency(&receipt_latency, now() - worker->asked[strtoull(id, NULL, 10) % 4096]);
  } else if (!strncmp(head, "MESSAGE", 7)) {
    const char *id = header(head, "\nack:", &n);
    if (!id) die("a message has no ack header");
    put(worker, "ACK\nid:", 7), put(worker, id, n), put(worker, "\n\n", 3);
    taken++;
  } else if (!strncmp(head, "ERROR", 5)) {
    errors++;
    fprintf(stderr, "%s: %.300s\n", tool, head);
    over(worker);
  }
}

// Takes the next whole frame out of what was received; 0 when there is none.
static int next_frame(Worker *worker) {
  while (worker->from < worker->to && worker->in[worker->from] == '\n') worker->from++;
  u8 *head = worker->in + worker->from;
  size_t there = worker->to - worker->from, n;
  u8 *end = memmem(head, there, "\n\n", 2);
  if (!end) return 0;
  *end = 0;
  const char *length = header((char *)head, "\ncontent-length:", &n);
  size_t at = end + 2 - head, whole;
  if (length) whole = at + strtoull(length, NULL, 10) + 1;
  else {
    u8 *nul = memchr(head + at, 0, there - at);
    whole = nul ? (size_t)(nul - head) + 1 : there + 1;
  }
  if (whole > there) {
    *end = '\n';
    return 0;
  }
  take_frame(worker, (char *)head);
  worker->from += whole;
  return 1;
}

static int receive(Worker *worker, int flags) {
  if (worker->from == worker->to) worker->from = worker->to = 0;
  if (worker->to > in_max / 2) {
    memmove(worker->in, worker->in + worker->from, worker->to - worker->from);
    worker->to -= worker->from, worker->from = 0;
  }
  ssize_t got = recv(worker->fd, worker->in + worker->to, in_max - worker->to, flags);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    errno = 0;
    return 0;
  }
  if (got <= 0) {
    errno = 0;
    die("the broker closed the connection");
  }
  worker->to += got;
  return 1;
}

static void work(Worker *worker) {
  receive(worker, MSG_DONTWAIT);
  while (worker->fd >= 0 && next_frame(worker)) {}
  if (worker->fd < 0) return;
  if (!worker->is_taker) send_more(worker);
  else if (stopping || (count_max && taken >= count_max)) over(worker);
  if (worker->fd >= 0 && worker->out_length > 0) flush(worker);
}

static void open_worker(Worker *worker, int number, int is_taker) {
  char text[512];
  worker->in = malloc(in_max), worker->out = malloc(out_max), worker->command = malloc(512);
  worker->fd = dial(port), worker->is_taker = is_taker;
  static const char hello[] = "CONNECT\naccept-version:1.2\nhost:/\n\n";
  put(worker, hello, sizeof hello);
  flush(worker);
  while (!memchr(worker->in + worker->from, 0, worker->to - worker->from)) receive(worker, 0);
  if (strncmp((char *)worker->in, "CONNECTED", 9)) die("not connected");
  next_frame(worker);
  int name = number % queues;
  if (is_taker) {
    int n = snprintf(text, sizeof text,
                     "SUBSCRIBE\nid:1\ndestination:/queue/%s%d\nack:client-individual\nprefetch-count:%d\n"
                     "activemq.prefetchSize:%d\nreceipt:s\n\n", queue, name, prefetch, prefetch);
    put(worker, text, n + 1);
    flush(worker);
    while (!worker->is_ready) {
      receive(worker, 0);
      while (!worker->is_ready && next_frame(worker)) {}
    }
    return;
  }
  worker->is_ready = 1;
  worker->command_length = snprintf((char *)worker->command, 512,
                                    "SEND\ndestination:/queue/%s%d\npersistent:true\ncontent-length:%zu\nreceipt:", queue, name, size);
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--queue")) queue = value;
    else if (!strcmp(name, "--queues")) queues = atoi(value);
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--conns")) conns = atoi(value);
    else if (!strcmp(name, "--window")) window = atoi(value);
    else if (!strcmp(name, "--prefetch")) prefetch = atoi(value);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else if (!strcmp(name, "--count")) count_max = strtoull(value, NULL, 10);
    else fprintf(stderr, "stomp-raw: unknown option %s\n", name), exit(1);
  }
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : "";
  int sends = !strcmp(mode, "send"), takes = !strcmp(mode, "take"), both = !strcmp(mode, "flow");
  parse(count, words);
  if ((!sends && !takes && !both) || !port || window > 4096 || (seconds_max <= 0 && !count_max)) {
    fprintf(stderr, "usage: stomp-raw send|take|flow --port P --seconds S|--count N (see the source's head)\n");
    return 1;
  }
  body = malloc(size + 1);
  fill_noise(body, size);
  body[size] = 0;
  int poller = epoll_create1(0);
  Worker *workers = calloc(conns, sizeof *workers);
  for (int i = 0; i < conns; i++) {
    Worker *worker = &workers[i];
    open_worker(worker, both ? i / 2 : i, takes || (both && i % 2 == 1));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = worker};
    epoll_ctl(poller, EPOLL_CTL_ADD, worker->fd, &event);
  }
  double cpu = cpu_seconds();
  started = now(), open_workers = conns, taken = 0;
  for (int i = 0; i < conns; i++) work(&workers[i]);
  double ended = 0;
  uint64_t receipts_at = 0, taken_at = 0;
  while (open_workers > 0) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, 50);
    for (int i = 0; i < n; i++)
      if (((Worker *)events[i].data.ptr)->fd >= 0) work(events[i].data.ptr);
    if (seconds_max > 0 && !stopping && now() - started >= seconds_max) {
      stopping = 1, ended = now(), receipts_at = receipts, taken_at = taken;
      for (int i = 0; i < conns; i++)
        if (workers[i].fd >= 0 && workers[i].is_taker) over(&workers[i]);
    }
    if (count_max && takes && taken >= count_max)
      for (int i = 0; i < conns; i++) over(&workers[i]);
    if (stopping && now() - started >= seconds_max + 30) die("some receipts never came");
  }
  if (!ended) ended = now(), receipts_at = receipts, taken_at = taken;
  double seconds = ended - started;
  printf("{\"sent\":%lu,\"taken\":%lu,\"errors\":%lu,\"seconds\":%.4f,\"sentPerSecond\":%.0f,\"takenPerSecond\":%.0f,"
         "\"receiptP50Ms\":%.3f,\"receiptP99Ms\":%.3f,\"cpuSeconds\":%.2f}\n",
         receipts_at, taken_at, errors, seconds, receipts_at / seconds, taken_at / seconds,
         percentile_ms(&receipt_latency, .5), percentile_ms(&receipt_latency, .99), cpu_seconds() - cpu);
  return errors > 0 ? 3 : 0;
}
