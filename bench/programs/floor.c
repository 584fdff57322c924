// floor: the least a proxy can do. It copies bytes between a client and an upstream connection of its own and parses
// nothing: what a proxy costs above this is what its features cost.
//
//   floor PORT UPSTREAM_PORT UPSTREAM_PORT     the two upstreams take turns, per connection
//
// One thread, edge-triggered epoll, one copy per direction.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 65536, EVENTS = 512 };

struct end {
  int fd;
  int is_dead;
  struct end *peer;
  char *held;  // bytes read from this end that the peer did not take yet; NULL when there are none
  size_t held_from, held_left;
};

static int epoll;
static char buffer[BUFFER];
// Both ends of closed pairs: freed after the events of the round, which may still name them.
static struct end *graveyard[4 * EVENTS];
static int graves;

static struct sockaddr_in loopback(int port) {
  return (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static struct end *end_of(int fd) {
  struct end *end = calloc(1, sizeof *end);
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET | EPOLLRDHUP, .data.ptr = end};
  int on = 1;
  end->fd = fd;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  return end;
}

static void close_pair(struct end *end) {
  if (end->is_dead) return;
  struct end *pair[] = {end, end->peer};
  for (int i = 0; i < 2; i++) {
    pair[i]->is_dead = 1;
    close(pair[i]->fd);
    graveyard[graves++] = pair[i];
  }
}

// Sends to the peer what is held. 1: all of it went; 0: the peer takes no more now, or the pair was closed.
static int send_held(struct end *from) {
  ssize_t sent = send(from->peer->fd, from->held + from->held_from, from->held_left, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) close_pair(from);
    return 0;
  }
  from->held_from += (size_t)sent;
  from->held_left -= (size_t)sent;
  if (from->held_left) return 0;
  free(from->held);
  from->held = NULL;
  return 1;
}

static void pump(struct end *from) {
  for (;;) {
    if (from->held && !send_held(from)) return;
    ssize_t read = recv(from->fd, buffer, sizeof buffer, 0);
    if (read < 0 && errno == EAGAIN) return;
    if (read <= 0) return close_pair(from);
    ssize_t sent = send(from->peer->fd, buffer, (size_t)read, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) return close_pair(from);
      sent = 0;
    }
    if (sent < read) {
      from->held_from = 0;
      from->held_left = (size_t)(read - sent);
      from->held = malloc(from->held_left);
      memcpy(from->held, buffer + sent, from->held_left);
      return;
    }
    // A short read has emptied the socket: the next byte brings a new edge.
    if (read < BUFFER) return;
  }
}

static void accept_all(int listener, const int *upstreams) {
  static int turn;
  int client, on = 1;
  while ((client = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
    struct sockaddr_in address = loopback(upstreams[turn ^= 1]);
    int upstream = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(upstream, (void *)&address, sizeof address)) {
      close(upstream);
      close(client);
      continue;
    }
    ioctl(upstream, FIONBIO, &on);
    struct end *near = end_of(client), *far = end_of(upstream);
    near->peer = far;
    far->peer = near;
  }
}

int main(int argc, char **argv) {
  if (argc != 4) {
    fprintf(stderr, "usage: floor PORT UPSTREAM_PORT UPSTREAM_PORT\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  int upstreams[] = {atoi(argv[2]), atoi(argv[3])}, on = 1;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  struct sockaddr_in address = loopback(atoi(argv[1]));
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (void *)&address, sizeof address) || listen(listener, 8192)) {
    perror("floor: listen");
    return 1;
  }
  epoll = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[EVENTS];
  epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      struct end *end = events[i].data.ptr;
      uint32_t ready = events[i].events;
      if (!end) {
        accept_all(listener, upstreams);
        continue;
      }
      if (!end->is_dead && ready & EPOLLOUT && end->peer->held) pump(end->peer);
      if (!end->is_dead && ready & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && !end->held) pump(end);
    }
    while (graves) {
      struct end *end = graveyard[--graves];
      free(end->held);
      free(end);
    }
  }
}
