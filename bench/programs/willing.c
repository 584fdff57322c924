// willing: a backend that does whatever helps an attacker. The path of a request says what:
//
//   …interim…   103 heads of 8 KiB without end, and never an answer
//   …endless…   an answer of a terabyte, as fast as it is taken
//   …stall…     reads the head, and then neither reads nor answers
//   …           with `Upgrade`: 101, and silence; otherwise an answer of 128 bytes
//
//   willing     listens on a free port of 127.0.0.1 and prints it
//
// One thread, level-triggered epoll.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INTERIM = 8 << 10, PIECE = 64 << 10, REQUEST_MAX = 16 << 10, EVENTS = 512 };

enum mode { ANSWERS, REPEATS, STALLS, UPGRADED };

struct connection {
  int fd;
  bool is_listener;
  enum mode mode;
  const char *piece;  // what is repeated
  size_t piece_length, piece_sent;
  size_t in_length;
  char in[REQUEST_MAX];
};

static int epoll;
static char interim[INTERIM + 64], filler[PIECE];
static size_t interim_length;

static const char SMALL[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n\r\n"
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
static const char ENDLESS[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 1099511627776\r\n\r\n";
static const char SWITCHED[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static void watch(struct connection *self, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = self};
  epoll_ctl(epoll, operation, self->fd, &event);
}

static bool say(struct connection *self, const char *text) {
  size_t length = strlen(text);
  return send(self->fd, text, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static bool repeat(struct connection *self, const char *piece, size_t length) {
  self->mode = REPEATS;
  self->piece = piece;
  self->piece_length = length;
  self->piece_sent = 0;
  watch(self, EPOLLOUT, EPOLL_CTL_MOD);
  return true;
}

static bool begin(struct connection *self, char *head, size_t length) {
  char *line_end = memchr(head, '\r', length);
  size_t line = (size_t)(line_end - head);
  if (memmem(head, line, "interim", 7)) return repeat(self, interim, interim_length);
  if (memmem(head, line, "endless", 7)) return say(self, ENDLESS) && repeat(self, filler, sizeof filler);
  if (memmem(head, line, "stall", 5)) {
    self->mode = STALLS;
    watch(self, 0, EPOLL_CTL_MOD);
    return true;
  }
  head[length - 2] = 0;
  if (strcasestr(head, "\r\nupgrade:")) {
    self->mode = UPGRADED;
    return say(self, SWITCHED);
  }
  return say(self, SMALL);
}

// False: the connection has ended.
static bool read_some(struct connection *self) {
  if (self->mode == UPGRADED) {
    static char ignored[4096];
    ssize_t got = recv(self->fd, ignored, sizeof ignored, 0);
    return got > 0 || (got < 0 && errno == EAGAIN);
  }
  ssize_t got = recv(self->fd, self->in + self->in_length, sizeof self->in - self->in_length, 0);
  if (got <= 0) return got < 0 && errno == EAGAIN;
  self->in_length += (size_t)got;
  while (self->mode == ANSWERS) {
    char *end = memmem(self->in, self->in_length, "\r\n\r\n", 4);
    if (!end) return self->in_length < sizeof self->in;
    size_t head = (size_t)(end - self->in) + 4;
    if (!begin(self, self->in, head)) return false;
    memmove(self->in, self->in + head, self->in_length - head);
    self->in_length -= head;
  }
  return true;
}

static bool write_some(struct connection *self) {
  // A few pieces a turn, so that every connection gets some.
  for (int turn = 0; turn < 4; turn++) {
    ssize_t sent = send(self->fd, self->piece + self->piece_sent, self->piece_length - self->piece_sent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    self->piece_sent = (self->piece_sent + (size_t)sent) % self->piece_length;
  }
  return true;
}

static void accept_all(struct connection *listener) {
  int fd, on = 1;
  while ((fd = accept4(listener->fd, 0, 0, SOCK_NONBLOCK)) >= 0) {
    struct connection *self = calloc(1, sizeof *self);
    self->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    watch(self, EPOLLIN, EPOLL_CTL_ADD);
  }
}

static void listen_somewhere(struct connection *self) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  self->is_listener = true;
  self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (bind(self->fd, (void *)&address, sizeof address) || listen(self->fd, 4096) ||
      getsockname(self->fd, (void *)&address, &length)) {
    perror("willing: listen");
    exit(1);
  }
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  watch(self, EPOLLIN, EPOLL_CTL_ADD);
}

int main(void) {
  static struct connection listener;
  struct epoll_event events[EVENTS];
  signal(SIGPIPE, SIG_IGN);
  interim_length = (size_t)sprintf(interim, "HTTP/1.1 103 Early Hints\r\nLink: <");
  memset(interim + interim_length, 'l', INTERIM);
  interim_length += INTERIM;
  interim_length += (size_t)sprintf(interim + interim_length, ">\r\n\r\n");
  memset(filler, 'f', sizeof filler);
  epoll = epoll_create1(0);
  listen_somewhere(&listener);
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    for (int i = 0; i < count; i++) {
      struct connection *self = events[i].data.ptr;
      if (self->is_listener) {
        accept_all(self);
        continue;
      }
      bool lives = !(events[i].events & (EPOLLERR | EPOLLHUP));
      if (lives && events[i].events & EPOLLOUT) lives = write_some(self);
      if (lives && events[i].events & EPOLLIN) lives = read_some(self);
      if (!lives) {
        close(self->fd);
        free(self);
      }
    }
  }
}
