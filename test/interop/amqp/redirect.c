// Preloaded into clients whose tests insist on port 5672 of this host: they get the port of REDIRECT_PORT instead.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

int connect(int fd, const struct sockaddr *address, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t) = dlsym(RTLD_NEXT, "connect");
  struct sockaddr_storage changed;
  const char *port = getenv("REDIRECT_PORT");
  if (!port || length > sizeof changed) return real(fd, address, length);
  memcpy(&changed, address, length);
  // IPv4 and IPv6 have the port at the same place.
  struct sockaddr_in *in = (struct sockaddr_in *)&changed;
  if ((address->sa_family == AF_INET || address->sa_family == AF_INET6) && ntohs(in->sin_port) == 5672)
    in->sin_port = htons(atoi(port));
  return real(fd, (struct sockaddr *)&changed, length);
}
