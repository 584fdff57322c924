// siege: one kind of attack on one port of 127.0.0.1, for bench/siege.
//
//   siege KIND [-n CONNECTIONS] [-a ADDRESSES] [-u PATH] [-m STREAMS] [-w WINDOW] [-r BYTES/S] [-f FILE] [-g] PORT
//
//   connect     opens the connections and keeps silent
//   request     one request on each, then silence
//   upgrade     one WebSocket handshake on each, then silence
//   hello       sends the ClientHello in FILE, reads the server's flight, closes, and begins anew
//   slow        asks for PATH and reads it at BYTES/S a connection
//   greet       sends the ClientHello in FILE, and then nothing more
//   stare       one request for PATH on each, of whose answer nothing is read
//   upload      posts a body without end to PATH
//   h2-idle     one HTTP/2 request, then silence
//   h2-unread   STREAMS HTTP/2 requests for PATH with WINDOW each, of whose answers nothing is read
//   h2-reset    HTTP/2 requests for PATH, each reset at once
//
// The connections come from ADDRESSES addresses of 127.66.0.0/16 in turn. With -o N, N of them wait for their first answer
// at once; else all are opened as fast as it goes. With -g ("again"), a connection that the
// gateway closes is opened anew, and `connect` closes all of them when all are open, and begins anew. Prints `ready` when
// all have been opened once; ends at SIGTERM with a line of JSON that counts what happened.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 256, OUT_MAX = 64 << 10, SINK = 256 << 10, SMALL_BUFFER = 4096, TURN_MS = 20, RESETS = 200 };

struct connection {
  int fd;
  bool open, answered;
  uint32_t stream;   // HTTP/2: the last one
  size_t allowance;  // slow: what may be read
};

static const struct kind {
  const char *name;
  void (*begin)(struct connection *);     // it is connected
  void (*readable)(struct connection *);  // NULL: nothing is read, and its end is noticed by error alone
  void (*writable)(struct connection *);
  void (*turn)(struct connection *);  // every TURN_MS
} *kind;

static int port, wanted = 100, addresses = 1, streams = 100, epoll;
static int64_t window = 65535;
static size_t rate = 1024;
static const char *path = "/api/x";
static bool again, one_by_one;
static char hello[OUT_MAX], sink[SINK];
static size_t hello_length;
static struct connection *connections;
static int opened, answered, pending, next_address, at_once = 1024;
static volatile sig_atomic_t ending;
static uint64_t connected, refused, closed, flights, requests, bytes_read, bytes_sent;

static void die(const char *what) {
  fprintf(stderr, "siege: %s\n", what);
  exit(1);
}

static void watch(struct connection *self, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = self};
  epoll_ctl(epoll, operation, self->fd, &event);
}

static void send_all(struct connection *self, const void *bytes, size_t length) {
  ssize_t sent = send(self->fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) bytes_sent += (uint64_t)sent;
}

static void end(struct connection *self) {
  if (self->fd < 0) return;
  close(self->fd);
  if (self->open) opened--;
  else pending--;
  answered -= self->answered;
  self->fd = -1;
  self->open = self->answered = false;
}

static void open_connection(struct connection *self) {
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons(port)};
  // Ends with a reset: thousands of connections in TIME_WAIT would burden the kernel on the load's side only.
  struct linger reset = {.l_onoff = 1, .l_linger = 0};
  int on = 1, small = SMALL_BUFFER, no_port = 1;
  self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (self->fd < 0) die("out of descriptors");
  self->stream = 0;
  self->allowance = 0;
  self->open = false;
  next_address = (next_address + 1) % addresses;
  from.sin_addr.s_addr = htonl((127u << 24 | 66u << 16) + 1u + (uint32_t)next_address);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  setsockopt(self->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(self->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &no_port, sizeof no_port);
  // What the attacker does not read waits with the gateway.
  if (!kind->readable || kind->turn) setsockopt(self->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  if (bind(self->fd, (void *)&from, sizeof from)) die("cannot bind");
  pending++;
  if (connect(self->fd, (void *)&to, sizeof to) && errno != EINPROGRESS) {
    refused++;
    end(self);
    return;
  }
  watch(self, EPOLLOUT, EPOLL_CTL_ADD);
}

// The gateway or the attacker has ended it.
static void ended(struct connection *self) {
  closed++;
  end(self);
}

static void drop_what_comes(struct connection *self) {
  ssize_t got = recv(self->fd, sink, sizeof sink, MSG_DONTWAIT);
  if (got > 0) {
    bytes_read += (uint64_t)got;
    answered += !self->answered;
    self->answered = true;
  } else if (got == 0 || errno != EAGAIN) {
    ended(self);
  }
}

// HTTP/1.

static void ask(struct connection *self, const char *method, const char *more) {
  char head[2048];
  int length = snprintf(head, sizeof head, "%s %s HTTP/1.1\r\nHost: app.example.com\r\n%s\r\n", method, path, more);
  requests++;
  send_all(self, head, (size_t)length);
}

static void begin_silence(struct connection *self) { (void)self; }

static void begin_request(struct connection *self) { ask(self, "GET", ""); }

static void begin_upgrade(struct connection *self) {
  ask(self, "GET",
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
}

static void read_slowly(struct connection *self) {
  size_t room = self->allowance < sizeof sink ? self->allowance : sizeof sink;
  ssize_t got = room ? recv(self->fd, sink, room, MSG_DONTWAIT) : -1;
  if (got > 0) {
    self->allowance -= (size_t)got;
    bytes_read += (uint64_t)got;
  } else if (room && (got == 0 || errno != EAGAIN)) {
    ended(self);
    return;
  }
  if (!self->allowance) watch(self, 0, EPOLL_CTL_MOD);
}

static void allow_more(struct connection *self) {
  // Whole segments' worth at once, as a slow network delivers them.
  static const size_t STEP = 2048;
  size_t before = self->allowance;
  self->allowance += rate * TURN_MS / 1000 + 1;
  if (before < STEP && self->allowance >= STEP) watch(self, EPOLLIN, EPOLL_CTL_MOD);
}

static void begin_upload(struct connection *self) {
  ask(self, "POST", "Content-Length: 1099511627776\r\n");
  watch(self, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void upload(struct connection *self) {
  ssize_t sent = send(self->fd, sink, 64 << 10, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent > 0) bytes_sent += (uint64_t)sent;
  else if (errno != EAGAIN) ended(self);
}

// TLS.

static void begin_hello(struct connection *self) { send_all(self, hello, hello_length); }

static void read_flight(struct connection *self) {
  ssize_t got = recv(self->fd, sink, sizeof sink, MSG_DONTWAIT);
  if (got > 0) {
    flights++;
    bytes_read += (uint64_t)got;
    end(self);
  } else if (got == 0 || errno != EAGAIN) {
    ended(self);
  }
}

// HTTP/2, with prior knowledge.

struct out {
  uint8_t bytes[OUT_MAX];
  size_t length;
};

static void put(struct out *out, const void *bytes, size_t length) {
  if (out->length + length > sizeof out->bytes) die("too many frames");
  memcpy(out->bytes + out->length, bytes, length);
  out->length += length;
}

static void frame(struct out *out, uint8_t type, uint8_t flags, uint32_t stream, const void *payload, size_t length) {
  uint8_t head[9] = {(uint8_t)(length >> 16), (uint8_t)(length >> 8), (uint8_t)length, type, flags,
                     (uint8_t)(stream >> 24), (uint8_t)(stream >> 16), (uint8_t)(stream >> 8), (uint8_t)stream};
  put(out, head, sizeof head);
  put(out, payload, length);
}

static void frame_number(struct out *out, uint8_t type, uint32_t stream, uint32_t number) {
  uint32_t wire = htonl(number);
  frame(out, type, 0, stream, &wire, sizeof wire);
}

static void preface(struct out *out, uint32_t initial) {
  uint8_t settings[6] = {0, 4, (uint8_t)(initial >> 24), (uint8_t)(initial >> 16), (uint8_t)(initial >> 8),
                         (uint8_t)initial};
  out->length = 0;
  put(out, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
  frame(out, 4, 0, 0, settings, sizeof settings);
  frame(out, 4, 1, 0, "", 0);  // acknowledges the gateway's, which always come
  if (initial > 65535) frame_number(out, 8, 0, 0x7fffffff - 65535);
}

static void get(struct out *out, struct connection *self) {
  // GET, http; path and authority as literals without indexing.
  uint8_t block[512] = {0x82, 0x86, 0x04};
  size_t length = 3, text = strlen(path);
  block[length++] = (uint8_t)text;
  memcpy(block + length, path, text);
  length += text;
  memcpy(block + length, "\x01\x0f" "app.example.com", 17);
  length += 17;
  self->stream = self->stream ? self->stream + 2 : 1;
  frame(out, 1, 5, self->stream, block, length);
  requests++;
}

static struct out out;

static void begin_h2_idle(struct connection *self) {
  preface(&out, 65535);
  get(&out, self);
  send_all(self, out.bytes, out.length);
}

static void begin_h2_unread(struct connection *self) {
  preface(&out, (uint32_t)window);
  for (int i = 0; i < streams; i++) get(&out, self);
  send_all(self, out.bytes, out.length);
}

static void begin_h2_reset(struct connection *self) {
  preface(&out, 65535);
  send_all(self, out.bytes, out.length);
  watch(self, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
}

static void reset_some(struct connection *self) {
  out.length = 0;
  for (int i = 0; i < RESETS; i++) {
    get(&out, self);
    frame_number(&out, 3, self->stream, 8);
  }
  ssize_t sent = send(self->fd, out.bytes, out.length, MSG_NOSIGNAL | MSG_DONTWAIT);
  // A part of a frame cannot be taken back.
  if (sent != (ssize_t)out.length) ended(self);
}

static const struct kind KINDS[] = {
    {"connect", begin_silence, drop_what_comes, NULL, NULL},
    {"request", begin_request, drop_what_comes, NULL, NULL},
    {"upgrade", begin_upgrade, drop_what_comes, NULL, NULL},
    {"hello", begin_hello, read_flight, NULL, NULL},
    {"greet", begin_hello, drop_what_comes, NULL, NULL},
    {"stare", begin_request, NULL, NULL, NULL},
    {"slow", begin_request, read_slowly, NULL, allow_more},
    {"upload", begin_upload, drop_what_comes, upload, NULL},
    {"h2-idle", begin_h2_idle, drop_what_comes, NULL, NULL},
    {"h2-unread", begin_h2_unread, NULL, NULL, NULL},
    {"h2-reset", begin_h2_reset, drop_what_comes, reset_some, NULL},
};

static void handle(struct connection *self, uint32_t events) {
  if (!self->open) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error || events & (EPOLLERR | EPOLLHUP)) {
      refused++;
      end(self);
      return;
    }
    self->open = true;
    pending--;
    opened++;
    connected++;
    watch(self, kind->readable ? EPOLLIN : 0, EPOLL_CTL_MOD);
    kind->begin(self);
    return;
  }
  if (events & EPOLLIN && kind->readable) kind->readable(self);
  if (self->open && events & EPOLLOUT && kind->writable) kind->writable(self);
  if (self->open && events & (EPOLLERR | EPOLLHUP)) ended(self);
}

static void read_options(int argc, char **argv) {
  for (size_t i = 0; argc > 1 && i < sizeof KINDS / sizeof *KINDS; i++)
    if (!strcmp(argv[1], KINDS[i].name)) kind = &KINDS[i];
  if (!kind) die("usage: siege KIND [options] PORT; the kinds are at the top of siege.c");
  optind = 2;
  for (int option; (option = getopt(argc, argv, "n:a:o:u:m:w:r:f:g")) != -1;) {
    switch (option) {
      case 'n': wanted = atoi(optarg); break;
      case 'a': addresses = atoi(optarg); break;
      case 'o': at_once = atoi(optarg), one_by_one = true; break;
      case 'u': path = optarg; break;
      case 'm': streams = atoi(optarg); break;
      case 'w': window = atoll(optarg); break;
      case 'r': rate = (size_t)atoll(optarg); break;
      case 'g': again = true; break;
      case 'f': {
        FILE *file = fopen(optarg, "rb");
        if (!file) die("cannot read the ClientHello");
        hello_length = fread(hello, 1, sizeof hello, file);
        fclose(file);
        break;
      }
      default: exit(2);
    }
  }
  if (optind == argc) die("which port?");
  port = atoi(argv[optind]);
}

static void on_term(int signal) {
  (void)signal;
  ending = 1;
}

static int64_t now_ms(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

int main(int argc, char **argv) {
  struct epoll_event events[EVENTS];
  struct rlimit limit;
  read_options(argc, argv);
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGTERM, on_term);
  signal(SIGINT, on_term);
  epoll = epoll_create1(0);
  connections = calloc((size_t)wanted, sizeof *connections);
  int begun = 0;  // connections that have been opened once
  bool ready = false, forever = again || kind->readable == read_flight;
  int64_t turn = now_ms(), start = turn;
  for (int i = 0; i < wanted; i++) connections[i].fd = -1;
  while (!ending) {
    // By default all at once, but never more than what a queue of the kernel holds.
    while (begun < wanted && pending + (one_by_one ? opened - answered : 0) < at_once)
      open_connection(&connections[begun++]);
    if (!ready && begun == wanted && pending == 0) {
      ready = true;
      printf("ready\n");
      fflush(stdout);
    }
    int count = epoll_wait(epoll, events, EVENTS, TURN_MS);
    for (int i = 0; i < count; i++) {
      struct connection *self = events[i].data.ptr;
      if (self->fd >= 0) handle(self, events[i].events);
      if (self->fd < 0 && forever && kind->readable == read_flight) open_connection(self);
    }
    if (now_ms() - turn < TURN_MS) continue;
    turn = now_ms();
    bool all = ready && again && kind->begin == begin_silence && opened + (int)refused >= wanted;
    for (int i = 0; i < begun; i++) {
      struct connection *self = &connections[i];
      if (all) end(self);
      if (self->fd >= 0 && self->open && kind->turn) kind->turn(self);
      if (self->fd < 0 && forever && pending < 1024) open_connection(self);
    }
  }
  printf("{\"kind\": \"%s\", \"seconds\": %.3f, \"connected\": %lu, \"open\": %d, \"refused\": %lu, \"closed\": %lu, "
         "\"requests\": %lu, \"flights\": %lu, \"bytes_read\": %lu, \"bytes_sent\": %lu}\n",
         kind->name, (double)(now_ms() - start) / 1e3, connected, opened, refused, closed, requests, flights, bytes_read,
         bytes_sent);
  return 0;
}
