// MQTT 3.1.1 without a client library. One thread for all connections.
//
//   mqtt-raw flow --port P [--size BYTES] [--qos 0|1] [--publishers N] [--subscribers N] [--window W] [--lasting 0|1] --seconds S
//   mqtt-raw idle --port P --conns N
//
// `flow`: every subscriber gets what all publishers publish to one topic. A publisher of quality 0 is at most W messages ahead of the slowest
// subscriber, one of quality 1 has W without PUBACK at most. `--lasting 1`: subscribers have sessions that outlive their connections. What counts is what arrives.
// `idle`: connections that do nothing, until the input ends. Prints one JSON line; `idle` one when all are connected, too.
#define _GNU_SOURCE
static const char tool[] = "mqtt-raw";
#include "raw.h"
#include <sys/epoll.h>

enum { in_max = 1 << 18, out_max = 1 << 18 };

typedef struct {
  int fd, is_subscriber, is_blocked;
  uint64_t sent, acked, taken;
  u8 *in, *out;
  size_t from, to, out_from, out_length;
  uint16_t next_id;
} Client;

static int port, qos = 0, publishers = 1, subscribers = 1, window = 1000, conns = 10000, lasting = 0;
static size_t size = 16;
static double seconds_max = 5;
static u8 *packet;
static size_t packet_length, id_at;
static uint64_t taken_all, acked_all, sent_all;
static int stopping;
static Client *clients;

static size_t put_length(u8 *out, size_t length) {
  size_t n = 0;
  for (; length > 127; length >>= 7) out[n++] = (length & 127) | 128;
  out[n++] = length;
  return n;
}

static void read_some(Client *client, int flags) {
  if (client->from == client->to) client->from = client->to = 0;
  if (client->from > in_max / 2) {
    memmove(client->in, client->in + client->from, client->to - client->from);
    client->to -= client->from, client->from = 0;
  }
  ssize_t got = recv(client->fd, client->in + client->to, in_max - client->to, flags);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
    errno = 0;
    return;
  }
  if (got <= 0) die("the broker closed the connection");
  client->to += got;
}

static void flush(Client *client) {
  while (client->out_from < client->out_length) {
    ssize_t sent = send(client->fd, client->out + client->out_from, client->out_length - client->out_from, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      errno = 0, client->is_blocked = 1;
      return;
    }
    if (sent < 0) die("send");
    client->out_from += sent;
  }
  client->is_blocked = 0, client->out_from = client->out_length = 0;
}

static int put(Client *client, const u8 *bytes, size_t n) {
  if (client->out_length + n > out_max) flush(client);
  if (client->out_length + n > out_max) return 0;
  memcpy(client->out + client->out_length, bytes, n), client->out_length += n;
  return 1;
}

static void handle(Client *client, const u8 *body, u8 first, size_t length) {
  switch (first >> 4) {
    case 3: {
      client->taken++, taken_all++;
      if (((first >> 1) & 3) == 0) return;
      size_t at = 2 + (body[0] << 8 | body[1]);
      u8 ack[] = {0x40, 2, body[at], body[at + 1]};
      if (!put(client, ack, 4)) die("acknowledgements do not fit");
      return;
    }
    case 4:
      client->acked++, acked_all++;
      return;
  }
  (void)length;
}

static void take(Client *client) {
  for (;;) {
    size_t there = client->to - client->from, length = 0, n = 1;
    u8 *bytes = client->in + client->from;
    if (there < 2) return;
    for (;; n++) {
      if (n >= there) return;
      length |= (size_t)(bytes[n] & 127) << (7 * (n - 1));
      if (bytes[n] < 128) break;
    }
    if (there < n + 1 + length) return;
    handle(client, bytes + n + 1, bytes[0], length);
    client->from += n + 1 + length;
  }
}

static uint64_t slowest(void) {
  uint64_t least = UINT64_MAX;
  for (int i = publishers; i < publishers + subscribers; i++)
    if (clients[i].taken < least) least = clients[i].taken;
  return least;
}

static void publish(Client *client) {
  uint64_t arrived = qos == 0 && subscribers > 0 ? slowest() : 0;
  while (!stopping && !client->is_blocked) {
    if (qos == 0 ? sent_all - arrived >= (uint64_t)window : client->sent - client->acked >= (uint64_t)window) break;
    if (qos > 0) {
      if (++client->next_id == 0) client->next_id = 1;
      packet[id_at] = client->next_id >> 8, packet[id_at + 1] = client->next_id & 255;
    }
    if (!put(client, packet, packet_length)) break;
    client->sent++, sent_all++;
  }
  if (client->out_length > 0) flush(client);
}

static void answer_of(Client *client, u8 type) {
  while (client->to - client->from < 4) read_some(client, 0);
  if (client->in[client->from] >> 4 != type) die("another answer");
  size_t length = client->in[client->from + 1];
  while (client->to - client->from < length + 2) read_some(client, 0);
  if (type == 2 && client->in[client->from + 3] != 0) die("the connection is refused");
  client->from += length + 2;
}

static void open_client(Client *client, int number, int clean) {
  u8 hello[64];
  client->fd = dial(port);
  int id = snprintf((char *)hello + 14, 40, "bench-%d-%d", number, (int)getpid());
  u8 head[] = {0x10, 12 + id, 0, 4, 'M', 'Q', 'T', 'T', 4, clean ? 2 : 0, 0, 0, 0, id};
  memcpy(hello, head, 14);
  send_all(client->fd, hello, 14 + id);
  answer_of(client, 2);
}

static void subscribe(Client *client) {
  u8 wanted[] = {0x82, 12, 0, 1, 0, 7, 'b', 'e', 'n', 'c', 'h', '/', 't', qos};
  send_all(client->fd, wanted, sizeof wanted);
  answer_of(client, 9);
}

static void idle(void) {
  u8 *in = malloc(in_max);
  for (int i = 0; i < conns; i++) {
    Client client = {.in = in};
    open_client(&client, i, 1);
  }
  printf("{\"conns\":%d}\n", conns);
  fflush(stdout);
  while (getchar() != EOF) {}
  printf("{\"conns\":%d}\n", conns);
}

static void parse(int count, char **words) {
  for (int i = 2; i + 1 < count; i += 2) {
    const char *name = words[i], *value = words[i + 1];
    if (!strcmp(name, "--port")) port = atoi(value);
    else if (!strcmp(name, "--size")) size = atol(value);
    else if (!strcmp(name, "--qos")) qos = atoi(value);
    else if (!strcmp(name, "--publishers")) publishers = atoi(value);
    else if (!strcmp(name, "--subscribers")) subscribers = atoi(value);
    else if (!strcmp(name, "--window")) window = atoi(value);
    else if (!strcmp(name, "--lasting")) lasting = atoi(value);
    else if (!strcmp(name, "--conns")) conns = atoi(value);
    else if (!strcmp(name, "--seconds")) seconds_max = atof(value);
    else fprintf(stderr, "mqtt-raw: unknown option %s\n", name), exit(1);
  }
}

static void make_packet(void) {
  size_t length = 2 + 7 + (qos > 0 ? 2 : 0) + size;
  packet = malloc(length + 8);
  packet[0] = 0x30 | qos << 1;
  size_t at = 1 + put_length(packet + 1, length);
  memcpy(packet + at, "\0\7bench/t", 9), at += 9;
  id_at = at, at += qos > 0 ? 2 : 0;
  fill_noise(packet + at, size);
  packet_length = at + size;
}

int main(int count, char **words) {
  const char *mode = count > 1 ? words[1] : "";
  parse(count, words);
  if (!port || (strcmp(mode, "flow") && strcmp(mode, "idle"))) {
    fprintf(stderr, "usage: mqtt-raw flow|idle --port P … (see the source's head)\n");
    return 1;
  }
  if (!strcmp(mode, "idle")) {
    idle();
    return 0;
  }
  make_packet();
  int all = publishers + subscribers, poller = epoll_create1(0);
  clients = calloc(all, sizeof *clients);
  for (int i = all - 1; i >= 0; i--) {
    Client *client = &clients[i];
    client->in = malloc(in_max), client->out = malloc(out_max), client->is_subscriber = i >= publishers;
    open_client(client, i, !client->is_subscriber || !lasting);
    if (client->is_subscriber) subscribe(client);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = client};
    epoll_ctl(poller, EPOLL_CTL_ADD, client->fd, &event);
  }
  double cpu = cpu_seconds(), started = now();
  for (int i = 0; i < publishers; i++) publish(&clients[i]);
  while (now() - started < seconds_max) {
    struct epoll_event events[256];
    int n = epoll_wait(poller, events, 256, 20);
    for (int i = 0; i < n; i++) {
      Client *client = events[i].data.ptr;
      for (;;) {
        size_t had = client->to - client->from;
        read_some(client, MSG_DONTWAIT);
        if (client->to - client->from == had) break;
        take(client);
      }
      if (client->out_length > 0) flush(client);
    }
    for (int i = 0; i < publishers; i++) {
      if (clients[i].is_blocked) flush(&clients[i]);
      publish(&clients[i]);
    }
  }
  double seconds = now() - started;
  stopping = 1;
  printf("{\"sent\":%lu,\"acked\":%lu,\"taken\":%lu,\"seconds\":%.4f,\"takenPerSecond\":%.0f,\"errors\":0,\"cpuSeconds\":%.2f}\n", sent_all,
         acked_all, taken_all, seconds, taken_all / seconds, cpu_seconds() - cpu);
  return 0;
}
