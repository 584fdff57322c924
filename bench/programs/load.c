// load: HTTP/1.1 over keep-alive connections against one port of 127.0.0.1, one request in flight on each.
//
//   load [options] PORT [PID…]
//     -c N      connections (64)
//     -u PATH   path (/api/x)
//     -v N      virtual hosts: each request takes the next of app-00000.example.com … (0: always app.example.com)
//     -w S      warm-up in seconds, not measured (0.7)
//     -s S      seconds to measure (3)
//     -n N      instead of a time: stop after N answers, without a warm-up
//     -H LINE   a further header field; may be repeated
//     -x        each request is another client's: X-Forwarded-For names another network of IPv6 each time
//     -r RATE   open loop: RATE requests a second in all, by schedule, whether or not answers came
//
// Prints one line of JSON: requests, seconds, errors, bytes, latency in µs, and `cpu_ns`, the CPU time that all threads
// of PID… used within the window. Latency counts from the instant a request was due, not from when it could be sent:
// a proxy that stalls does not thereby thin out the requests that would have shown it (coordinated omission).
//
// One thread, level-triggered epoll.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 4096, REQUEST_MAX = 1024, SINK = 262144, EVENTS = 256, LATENCY_MAX_US = 2000000 };
static const uint64_t SECOND = 1000000000;
#define CLIENT "X-Forwarded-For: 2001:db8:0000:0000::1"

struct connection {
  int fd;
  bool busy;           // a request is in flight
  bool in_body;
  bool will_close;     // the answer said so
  size_t head_length;  // bytes in `head`
  size_t body_left;
  uint64_t due;      // when the request in flight was due, ns
  uint64_t next_due;  // open loop: when the next one is
  char head[HEAD_MAX];
};

// Options.
static int port, connection_count = 64, host_count;
static const char *path = "/api/x";
static char fields[REQUEST_MAX];  // further ones, each with its end of line
static double warm_up = 0.7, seconds = 3, rate;
static uint64_t answers_wanted;

// State.
static int epoll;
static struct connection *connections;
static char request[REQUEST_MAX];
static int request_length, host_turn;
static char *host_digits;  // in `request`
static bool many_clients;
static uint32_t client_turn;
static char *client_digits;  // in `request`
static bool measuring;
static uint64_t answers, errors, bytes;
static uint32_t latencies[LATENCY_MAX_US + 1];  // answers by latency in µs
static char sink[SINK];

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
  fprintf(stderr, "load: %s\n", what);
  exit(1);
}

// CPU time of all threads of a process, ns. Threads that have ended are not counted: proxies keep theirs.
static uint64_t cpu_of(const char *pid) {
  char name[512];
  uint64_t sum = 0;
  snprintf(name, sizeof name, "/proc/%s/task", pid);
  DIR *tasks = opendir(name);
  if (!tasks) return 0;
  for (struct dirent *task; (task = readdir(tasks));) {
    unsigned long long spent = 0;
    if (task->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "/proc/%s/task/%s/schedstat", pid, task->d_name);
    FILE *file = fopen(name, "r");
    if (!file) continue;
    if (fscanf(file, "%llu", &spent) == 1) sum += spent;
    fclose(file);
  }
  closedir(tasks);
  return sum;
}

static uint64_t cpu_of_all(char **pids) {
  uint64_t sum = 0;
  for (; *pids; pids++) sum += cpu_of(*pids);
  return sum;
}

static void prepare_request(void) {
  request_length = snprintf(request, REQUEST_MAX,
                            "GET %s HTTP/1.1\r\nHost: app%s.example.com\r\nUser-Agent: load/1.0\r\nAccept: */*\r\n"
                            "Accept-Encoding: gzip, br\r\nCookie: sid=0123456789abcdef\r\n%s\r\n",
                            path, host_count ? "-00000" : "", fields);
  if (request_length >= REQUEST_MAX) die("the request is too long");
  host_digits = strstr(request, "-00000") + 1;
  if (many_clients) client_digits = strstr(request, CLIENT) + strlen(CLIENT) - strlen("0000:0000::1");
}

// One request that is edited, not one per host: they would push the proxy's table out of the cache both cores share.
static void name_next_host(void) {
  int rest = host_turn;
  for (int i = 4; i >= 0; i--, rest /= 10) host_digits[i] = (char)('0' + rest % 10);
  if (++host_turn == host_count) host_turn = 0;
}

static void name_next_client(void) {
  uint32_t rest = client_turn++;
  for (int i = 8; i >= 0; i--) {
    if (i == 4) continue;  // the colon
    client_digits[i] = "0123456789abcdef"[rest & 15];
    rest >>= 4;
  }
}

static void open_connection(struct connection *self) {
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = self};
  int on = 1;
  self->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(self->fd, (void *)&address, sizeof address)) die("cannot connect");
  setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  self->head_length = self->body_left = 0;
  self->in_body = self->busy = self->will_close = false;
  epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &event);
}

static void reopen(struct connection *self) {
  close(self->fd);
  open_connection(self);
}

static void send_request(struct connection *self, uint64_t due) {
  if (host_count) name_next_host();
  if (many_clients) name_next_client();
  self->busy = true;
  self->due = due;
  if (send(self->fd, request, (size_t)request_length, MSG_NOSIGNAL) != request_length) errors++;
}

static bool is_header(const char *line, const char *header) {
  return (line[0] | 32) == header[0] && !strncasecmp(line, header, strlen(header));
}

// Reads the head whose blank line begins at `end`. True: the whole answer is here already.
static bool read_head(struct connection *self, const char *end) {
  long length = -1;
  if (memcmp(self->head + 9, "200", 3)) errors++;
  for (const char *line = self->head; line < end;) {
    line = memchr(line, '\n', (size_t)(end - line) + 2);
    if (!line++) break;
    if (is_header(line, "content-length:")) length = atol(line + 15);
    if (is_header(line, "connection: close")) self->will_close = true;
  }
  if (length < 0) die("an answer without Content-Length");
  size_t body_here = self->head_length - (size_t)(end + 4 - self->head);
  self->in_body = body_here < (size_t)length;
  self->body_left = (size_t)length - body_here;
  return !self->in_body;
}

static void answered(struct connection *self) {
  uint64_t at = now(), latency = (at - self->due) / 1000;
  answers++;
  if (measuring) latencies[latency < LATENCY_MAX_US ? latency : LATENCY_MAX_US]++;
  self->head_length = 0;
  self->in_body = self->busy = false;
  if (self->will_close) reopen(self);
  if (rate == 0) send_request(self, at);
}

static void receive(struct connection *self) {
  for (;;) {
    char *into = self->in_body ? sink : self->head + self->head_length;
    size_t room = self->in_body ? (self->body_left < SINK ? self->body_left : SINK) : HEAD_MAX - self->head_length;
    ssize_t length = recv(self->fd, into, room, MSG_DONTWAIT);
    if (length < 0 && errno == EAGAIN) return;
    if (length <= 0) {
      errors += self->busy;
      reopen(self);
      if (rate == 0) send_request(self, now());
      return;
    }
    bytes += (uint64_t)length;
    if (self->in_body) {
      self->body_left -= (size_t)length;
      if (self->body_left == 0) return answered(self);
    } else {
      self->head_length += (size_t)length;
      const char *end = memmem(self->head, self->head_length, "\r\n\r\n", 4);
      if (end && read_head(self, end)) return answered(self);
      if (!self->in_body) return;
    }
  }
}

// Sends what is due, beginning each time with another connection; tells when the next one is due.
static uint64_t send_due(uint64_t interval, uint64_t time) {
  uint64_t next = UINT64_MAX;
  for (int i = 0; i < connection_count; i++) {
    struct connection *connection = &connections[i];
    if (connection->busy) continue;
    if (connection->next_due <= time) {
      send_request(connection, connection->next_due);
      connection->next_due += interval;
    } else if (connection->next_due < next) {
      next = connection->next_due;
    }
  }
  return next;
}

static int wait_for_events(struct epoll_event *events, uint64_t interval, uint64_t time) {
  if (rate == 0) return epoll_wait(epoll, events, EVENTS, 100);
  uint64_t next = send_due(interval, time), before = now();
  struct timespec timeout = {0, 0};
  if (next > before) timeout.tv_nsec = (long)(next - before < SECOND / 10 ? next - before : SECOND / 10);
  return epoll_pwait2(epoll, events, EVENTS, &timeout, NULL);
}

static uint64_t quantile(double share, uint64_t total) {
  uint64_t seen = 0;
  for (uint64_t us = 0; us <= LATENCY_MAX_US; us++) {
    seen += latencies[us];
    if (total && (double)seen >= share * (double)total) return us;
  }
  return 0;
}

static void read_options(int argc, char **argv) {
  for (int option; (option = getopt(argc, argv, "c:u:v:w:s:n:r:H:x")) != -1;) {
    switch (option) {
      case 'c': connection_count = atoi(optarg); break;
      case 'u': path = optarg; break;
      case 'v': host_count = atoi(optarg); break;
      case 'w': warm_up = atof(optarg); break;
      case 's': seconds = atof(optarg); break;
      case 'n': answers_wanted = strtoull(optarg, NULL, 10); break;
      case 'r': rate = atof(optarg); break;
      case 'H':
        if (strlen(fields) + strlen(optarg) + 3 > sizeof fields / 2) die("too many fields");
        strcat(strcat(fields, optarg), "\r\n");
        break;
      case 'x':
        many_clients = true;
        strcat(fields, CLIENT "\r\n");
        break;
      default: exit(2);
    }
  }
  if (optind == argc) die("usage: load [-c N] [-u PATH] [-v N] [-w S] [-s S] [-n N] [-r RATE] [-x] [-H LINE] PORT [PID…]");
  port = atoi(argv[optind]);
}

int main(int argc, char **argv) {
  read_options(argc, argv);
  char **pids = argv + optind + 1;
  prctl(PR_SET_TIMERSLACK, 1);  // the schedule of the open loop is finer than the default of 50 µs
  prepare_request();
  epoll = epoll_create1(0);
  connections = calloc((size_t)connection_count, sizeof *connections);
  for (int i = 0; i < connection_count; i++) open_connection(&connections[i]);

  uint64_t start = now(), interval = rate > 0 ? (uint64_t)(1e9 * connection_count / rate) : 0;
  uint64_t window = start + (uint64_t)(answers_wanted ? 0 : warm_up * 1e9);
  uint64_t end = answers_wanted ? UINT64_MAX : window + (uint64_t)(seconds * 1e9);
  for (int i = 0; i < connection_count; i++) {
    connections[i].next_due = start + interval * (uint64_t)i / (uint64_t)connection_count;
    if (rate == 0) send_request(&connections[i], start);
  }

  uint64_t window_start = start, cpu_before = 0;
  struct epoll_event events[EVENTS];
  for (;;) {
    uint64_t time = now();
    if (!measuring && time >= window) {
      measuring = true;
      answers = errors = bytes = 0;
      cpu_before = cpu_of_all(pids);
      window_start = now();
    }
    if (time >= end || (answers_wanted && answers >= answers_wanted)) break;
    int count = wait_for_events(events, interval, time);
    for (int i = 0; i < count; i++) receive(events[i].data.ptr);
  }

  double elapsed = (double)(now() - window_start) / 1e9;
  uint64_t cpu = cpu_of_all(pids) - cpu_before, total = 0;
  for (uint64_t us = 0; us <= LATENCY_MAX_US; us++) total += latencies[us];
  printf("{\"requests\": %lu, \"seconds\": %.4f, \"errors\": %lu, \"bytes\": %lu, \"cpu_ns\": %lu, "
         "\"p50\": %lu, \"p90\": %lu, \"p99\": %lu, \"p999\": %lu}\n",
         answers, elapsed, errors, bytes, cpu, quantile(.5, total), quantile(.9, total), quantile(.99, total),
         quantile(.999, total));
  return 0;
}
