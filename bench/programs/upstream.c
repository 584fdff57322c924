// upstream: the backend behind every proxy. It answers any GET with 128 bytes, or with 1 MiB if the path holds "1m".
//
//   upstream        listens on two free ports of 127.0.0.1 and prints them on one line
//
// Connections are kept alive for ever; a request body is not supported. One thread, level-triggered epoll.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SMALL = 128, LARGE = 1 << 20, HEAD_MAX = 256, REQUEST_MAX = 8192, EVENTS = 512 };

struct answer {
  char *bytes;
  size_t length;
};

struct connection {
  int fd;
  int is_listener;
  int waits_to_write;  // EPOLLOUT is registered
  const char *out;     // what of the current answer is still to be sent
  size_t out_left;
  size_t in_length;
  char in[REQUEST_MAX];  // last: left uninitialised
};

static int epoll;
static struct answer small, large;

static struct answer answer_of(size_t body, char fill) {
  struct answer answer = {.bytes = malloc(HEAD_MAX + body)};
  int head = snprintf(answer.bytes, HEAD_MAX,
                      "HTTP/1.1 200 OK\r\nServer: upstream\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\n"
                      "Content-Type: text/plain\r\nContent-Length: %zu\r\n\r\n",
                      body);
  memset(answer.bytes + head, fill, body);
  answer.length = (size_t)head + body;
  return answer;
}

static void watch(struct connection *connection, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = connection};
  epoll_ctl(epoll, operation, connection->fd, &event);
}

static struct connection *listener(void) {
  struct connection *self = calloc(1, sizeof *self);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  self->is_listener = 1;
  self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(self->fd, (void *)&address, sizeof address) || listen(self->fd, 4096) ||
      getsockname(self->fd, (void *)&address, &length)) {
    perror("upstream: listen");
    exit(1);
  }
  printf("%d ", ntohs(address.sin_port));
  watch(self, EPOLLIN, EPOLL_CTL_ADD);
  return self;
}

static void accept_all(struct connection *listener) {
  int fd, on = 1;
  while ((fd = accept4(listener->fd, 0, 0, SOCK_NONBLOCK)) >= 0) {
    struct connection *connection = malloc(sizeof *connection);
    memset(connection, 0, offsetof(struct connection, in));
    connection->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(connection, EPOLLIN, EPOLL_CTL_ADD);
  }
}

static void close_connection(struct connection *connection) {
  close(connection->fd);
  free(connection);
}

// Sends what it can. -1: the connection is broken.
static int write_out(struct connection *self) {
  while (self->out_left) {
    ssize_t sent = send(self->fd, self->out, self->out_left, MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno != EAGAIN) return -1;
      if (!self->waits_to_write) watch(self, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
      self->waits_to_write = 1;
      return 0;
    }
    self->out += sent;
    self->out_left -= (size_t)sent;
  }
  if (self->waits_to_write) watch(self, EPOLLIN, EPOLL_CTL_MOD);
  self->waits_to_write = 0;
  return 0;
}

// Answers the requests that are buffered. -1: the connection is broken, or a head is too long.
static int answer_requests(struct connection *self) {
  while (!self->out_left && self->in_length) {
    char *end = memmem(self->in, self->in_length, "\r\n\r\n", 4);
    if (!end) return self->in_length == sizeof self->in ? -1 : 0;
    size_t head = (size_t)(end - self->in) + 4;
    char *line_end = memchr(self->in, '\r', head);
    const struct answer *answer = memmem(self->in, (size_t)(line_end - self->in), "1m", 2) ? &large : &small;
    memmove(self->in, self->in + head, self->in_length - head);
    self->in_length -= head;
    self->out = answer->bytes;
    self->out_left = answer->length;
    if (write_out(self)) return -1;
  }
  return 0;
}

// -1: the connection has ended.
static int serve(struct connection *self, uint32_t events) {
  if (self->out_left) {
    if (events & (EPOLLERR | EPOLLHUP) || write_out(self)) return -1;
    if (self->out_left) return 0;
    if (answer_requests(self)) return -1;
  }
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    ssize_t read = recv(self->fd, self->in + self->in_length, sizeof self->in - self->in_length, 0);
    if (read == 0 || (read < 0 && errno != EAGAIN)) return -1;
    if (read > 0) {
      self->in_length += (size_t)read;
      return answer_requests(self);
    }
  }
  return 0;
}

int main(void) {
  struct epoll_event events[EVENTS];
  signal(SIGPIPE, SIG_IGN);
  small = answer_of(SMALL, 'x');
  large = answer_of(LARGE, 'y');
  epoll = epoll_create1(0);
  listener();
  listener();
  puts("");
  fflush(stdout);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      struct connection *connection = events[i].data.ptr;
      if (connection->is_listener)
        accept_all(connection);
      else if (serve(connection, events[i].events))
        close_connection(connection);
    }
  }
}
