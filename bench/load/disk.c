// What the machine gives without any broker: the disk and the loopback, each and in a chain.
//
//   disk write  DIR MIB [BLOCK_KIB]   O_DSYNC writes of BLOCK_KIB (1024) over a file that was written before
//   disk read   FILE...               sequential read of 1 MiB at a time, page cache dropped first
//   disk serve  FILE...               the same read, each buffer sent over one loopback connection whose reader discards
//   disk drop   FILE...               drops the files' pages from the page cache, so that the next reader is cold
//   disk steady DIR RATE SECONDS      RATE O_DSYNC writes of 4 KiB a second, one at a time: how long each takes
//   disk loop   SECONDS               one loopback connection, 256 KiB writes, reader copies into a buffer
//
// Prints one JSON line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const size_t mib = 1 << 20;

static void die(const char *what) {
  fprintf(stderr, "disk: %s: %s\n", what, strerror(errno));
  exit(2);
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

// Random bytes: neither a disk nor a hypervisor can make less of them.
static char *noise(size_t size) {
  char *bytes = aligned_alloc(4096, size);
  uint64_t x = 88172645463325252ull;
  for (size_t i = 0; i < size; i += 8) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    memcpy(bytes + i, &x, 8);
  }
  return bytes;
}

static void drop(const char *path) {
  int fd = open(path, O_RDONLY);
  if (fd < 0) die(path);
  fdatasync(fd); // Only clean pages can be dropped.
  posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
  close(fd);
}

static void write_sync(const char *directory, size_t count_mib, size_t block) {
  char path[4096];
  snprintf(path, sizeof path, "%s/disk-write.tmp", directory);
  size_t total = count_mib * mib, file = total < 256 * mib ? total : 256 * mib;
  char *bytes = noise(block > mib ? block : mib);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) die(path);
  for (size_t at = 0; at < file; at += mib)
    if (pwrite(fd, bytes, mib, at) != (ssize_t)mib) die("preallocate");
  fsync(fd);
  close(fd);
  fd = open(path, O_RDWR | O_DSYNC);
  double start = now();
  for (size_t done = 0; done < total; done += block)
    if (pwrite(fd, bytes, block, done % file) != (ssize_t)block) die("write");
  double seconds = now() - start;
  close(fd);
  unlink(path);
  printf("{\"mib\":%zu,\"blockKib\":%zu,\"seconds\":%.4f,\"mbPerSecond\":%.1f,\"writesPerSecond\":%.0f}\n", count_mib,
         block / 1024, seconds, total / seconds / 1e6, total / (double)block / seconds);
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void write_steadily(const char *directory, double rate, double seconds) {
  enum { block = 4096, blocks = 8192 };
  char path[4096];
  snprintf(path, sizeof path, "%s/disk-steady.tmp", directory);
  char *bytes = noise(block);
  int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) die(path);
  for (size_t i = 0; i < blocks; i++)
    if (pwrite(fd, bytes, block, i * block) != block) die("preallocate");
  fsync(fd);
  close(fd);
  fd = open(path, O_RDWR | O_DSYNC);
  size_t count = rate * seconds;
  double *took = calloc(count + 1, sizeof *took), start = now();
  for (size_t i = 0; i < count; i++) {
    double wait = start + i / rate - now();
    if (wait > 0) nanosleep(&(struct timespec){.tv_sec = wait, .tv_nsec = (wait - (long)wait) * 1e9}, NULL);
    double before = now();
    if (pwrite(fd, bytes, block, i % blocks * block) != block) die("write");
    took[i] = now() - before;
  }
  close(fd);
  unlink(path);
  qsort(took, count, sizeof *took, by_size);
  printf("{\"writes\":%zu,\"p50Ms\":%.3f,\"p99Ms\":%.3f}\n", count, took[count / 2] * 1e3, took[count * 99 / 100] * 1e3);
}

static void *discard(void *argument) {
  int fd = *(int *)argument;
  static char buffer[1 << 18];
  while (recv(fd, buffer, sizeof buffer, 0) > 0) {
  }
  return NULL;
}

static int loopback(int *reader) {
  int listener = socket(AF_INET, SOCK_STREAM, 0), writer = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET};
  socklen_t length = sizeof address;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 1)) die("listen");
  getsockname(listener, (void *)&address, &length);
  if (connect(writer, (void *)&address, sizeof address)) die("connect");
  *reader = accept(listener, NULL, NULL);
  return writer;
}

static void send_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, bytes, size, 0);
    if (sent < 0) die("send");
    bytes += sent, size -= sent;
  }
}

static void read_cold(char **paths, int count, int serve, size_t buffer) {
  for (int i = 0; i < count; i++) drop(paths[i]);
  int reader = -1, writer = -1;
  char *bytes = aligned_alloc(4096, buffer);
  pthread_t thread;
  if (serve) {
    writer = loopback(&reader);
    pthread_create(&thread, NULL, discard, &reader);
  }
  double start = now(), total = 0;
  for (int i = 0; i < count; i++) {
    int fd = open(paths[i], O_RDONLY);
    if (fd < 0) die(paths[i]);
    for (ssize_t got; (got = read(fd, bytes, buffer)) > 0; total += got)
      if (serve) send_all(writer, bytes, got);
    close(fd);
  }
  if (serve) {
    shutdown(writer, SHUT_WR);
    pthread_join(thread, NULL);
  }
  double seconds = now() - start;
  printf("{\"mib\":%.0f,\"seconds\":%.4f,\"mbPerSecond\":%.1f}\n", total / mib, seconds, total / seconds / 1e6);
}

static void loop(double limit) {
  int reader;
  int writer = loopback(&reader);
  pthread_t thread;
  char *bytes = noise(1 << 18);
  pthread_create(&thread, NULL, discard, &reader);
  double start = now(), total = 0;
  for (; now() - start < limit; total += 1 << 18) send_all(writer, bytes, 1 << 18);
  shutdown(writer, SHUT_WR);
  pthread_join(thread, NULL);
  double seconds = now() - start;
  printf("{\"seconds\":%.4f,\"mbPerSecond\":%.1f}\n", seconds, total / seconds / 1e6);
}

int main(int count, char **words) {
  const char *mode = count > 2 ? words[1] : "";
  if (!strcmp(mode, "write") && count > 3) write_sync(words[2], atol(words[3]), (count > 4 ? atol(words[4]) : 1024) << 10);
  else if (!strcmp(mode, "steady") && count > 4) write_steadily(words[2], atof(words[3]), atof(words[4]));
  else if (!strcmp(mode, "read")) read_cold(words + 2, count - 2, 0, mib);
  else if (!strcmp(mode, "serve")) read_cold(words + 2, count - 2, 1, mib);
  else if (!strcmp(mode, "loop")) loop(atof(words[2]));
  else if (!strcmp(mode, "drop")) {
    for (int i = 2; i < count; i++) drop(words[i]);
    printf("{\"dropped\":%d}\n", count - 2);
  } else {
    fprintf(stderr, "usage: disk write DIR MIB [BLOCK_KIB] | steady DIR RATE SECONDS | read FILE... | serve FILE... | drop FILE... | loop SECONDS\n");
    return 1;
  }
  return 0;
}
