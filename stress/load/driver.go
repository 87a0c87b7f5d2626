package load

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// driver carries out a plan.
type driver struct {
	plan    Plan
	to      unix.SockaddrInet4
	epoll   int
	timer   int // a timerfd: epoll's own timeout counts milliseconds
	began   time.Time
	cpu     time.Duration
	classes []*class
	conns   []*conn // by descriptor
	buffer  []byte
	control []byte // of the message that was read last
	request []byte
}

// class is a stream of requests under way. Times are nanoseconds since the driver began.
type class struct {
	Class
	head     string
	pause    float64 // between requests
	due      int     // requests that were due until now
	total    int
	free     []*conn
	open     int
	opened   int
	waiting  queue // due times of requests without a connection
	sent     queue // of requests in the order they were sent, with their connections
	byStatus map[int][]sample
	served   map[int][]sample
	late     []sample
	gaveUp   int
	broken   int
	waited   int
	length   int
	retry    int
	why      string
}

// entry is a request in a queue: when it was due, and the connection and the number of its use it was sent with.
type entry struct {
	due  int64
	conn *conn
	use  int
}

// queue is first in, first out.
type queue struct {
	entries []entry
	first   int
}

func (q *queue) push(e entry) { q.entries = append(q.entries, e) }
func (q *queue) empty() bool  { return q.first == len(q.entries) }
func (q *queue) head() entry  { return q.entries[q.first] }
func (q *queue) pop() entry {
	e := q.entries[q.first]
	if q.first++; q.first == len(q.entries) {
		q.entries, q.first = q.entries[:0], 0
	}
	return e
}

func newDriver(plan Plan) (*driver, error) {
	addr, err := netip.ParseAddrPort(plan.Addr)
	if err != nil || !addr.Addr().Is4() {
		return nil, fmt.Errorf("load: %q is no IPv4 address with a port (%w)", plan.Addr, err)
	}
	d := &driver{plan: plan, to: unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}, buffer: make([]byte, 256<<10), control: make([]byte, 256)}
	if d.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("load: epoll: %w", err)
	}
	if d.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		_ = unix.Close(d.epoll)
		return nil, fmt.Errorf("load: timerfd: %w", err)
	}
	for _, c := range plan.Classes {
		if c.Rate <= 0 || c.Conns < 1 || c.Timeout <= 0 {
			d.close()
			return nil, fmt.Errorf("load: class %s: rate, connections and timeout must be positive", c.Name)
		}
		total := int(c.Rate * plan.For.Seconds())
		head := " HTTP/1.1\r\nHost: load.test\r\n"
		for _, line := range c.Header {
			head += line + "\r\n"
		}
		d.classes = append(d.classes, &class{
			Class: c, head: head + "\r\n", pause: float64(time.Second) / c.Rate, total: total,
			byStatus: map[int][]sample{200: make([]sample, 0, total)}, served: map[int][]sample{200: make([]sample, 0, total)}, late: make([]sample, 0, total),
		})
	}
	return d, d.watch(d.timer, unix.EPOLL_CTL_ADD, unix.EPOLLIN)
}

func (d *driver) close() {
	for fd, c := range d.conns {
		if c != nil {
			_ = unix.Close(fd)
		}
	}
	_ = unix.Close(d.timer)
	_ = unix.Close(d.epoll)
}

func (d *driver) watch(fd, operation int, events uint32) error {
	if err := unix.EpollCtl(d.epoll, operation, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("load: epoll_ctl: %w", err)
	}
	return nil
}

// now is the time since the beginning.
func (d *driver) now() int64 { return int64(time.Since(d.began)) }

// run sends requests when they are due and reads answers when they come, until nothing is left of either.
func (d *driver) run() error {
	events := make([]unix.EpollEvent, 256)
	d.cpu, d.began = threadCPU(), time.Now()
	for {
		next, err := d.tick()
		if err != nil {
			return err
		}
		if next < 0 {
			return nil
		}
		// A time that has passed is one nanosecond ahead: zero would turn the timer off.
		wait := unix.NsecToTimespec(max(next-d.now(), 1))
		if err := unix.TimerfdSettime(d.timer, 0, &unix.ItimerSpec{Value: wait}, nil); err != nil {
			return fmt.Errorf("load: timer: %w", err)
		}
		n, err := unix.EpollWait(d.epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("load: epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			if int(e.Fd) == d.timer {
				_, _ = unix.Read(d.timer, d.buffer[:8]) // only to have it quiet until it is set again
				continue
			}
			if err := d.ready(int(e.Fd)); err != nil {
				return err
			}
		}
	}
}

// tick sends what is due, lets clients leave whose time is over, and returns when to be called again; -1 is never.
func (d *driver) tick() (next int64, err error) {
	next = -1
	sooner := func(at int64) {
		if next < 0 || at < next {
			next = at
		}
	}
	for _, c := range d.classes {
		for !c.waiting.empty() && c.open < c.Conns { // connections have been dropped
			if err := d.connect(c, c.waiting.pop().due); err != nil {
				return 0, err
			}
		}
		for c.due < c.total && int64(float64(c.due)*c.pause) <= d.now() {
			if err := d.start(c, entry{due: int64(float64(c.due) * c.pause)}); err != nil {
				return 0, err
			}
			c.due++
		}
		if c.due < c.total {
			sooner(int64(float64(c.due) * c.pause))
		}
		now := d.now()
		for !c.sent.empty() {
			e := c.sent.head()
			if e.conn.use == e.use && e.conn.busy { // neither answered nor broken
				if now < e.due+int64(c.Timeout) {
					sooner(e.due + int64(c.Timeout))
					break
				}
				c.gaveUp++
				d.drop(e.conn)
			}
			c.sent.pop()
		}
		for !c.waiting.empty() {
			if e := c.waiting.head(); now < e.due+int64(c.Timeout) {
				sooner(e.due + int64(c.Timeout))
				break
			}
			c.gaveUp++
			c.waiting.pop()
		}
	}
	return next, nil
}

// start sends a request on a free connection, opens one, or has it wait.
func (d *driver) start(c *class, e entry) error {
	if n := len(c.free); n > 0 {
		k := c.free[n-1]
		c.free = c.free[:n-1]
		return d.send(k, e.due)
	}
	if c.open >= c.Conns {
		c.waited++
		c.waiting.push(e)
		return nil
	}
	return d.connect(c, e.due)
}

// send writes the next request of the connection's class.
func (d *driver) send(k *conn, due int64) error {
	c := k.class
	number := c.First + len(c.late)
	if c.Cycle > 0 {
		number = c.First + len(c.late)%c.Cycle
	}
	b := append(d.request[:0], "GET "...)
	b = append(b, c.Before...)
	b = strconv.AppendInt(b, int64(number), 10)
	b = append(b, c.After...)
	d.request = append(b, c.head...)
	k.begin(due)
	c.sent.push(entry{due, k, k.use})
	c.late = append(c.late, sample{due, d.now() - due})
	k.written = time.Now().UnixNano()
	// A request fits into an empty socket buffer.
	if n, err := unix.Write(k.fd, d.request); err != nil || n < len(d.request) {
		d.fail(k, fmt.Errorf("writing %d of %d bytes: %w", n, len(d.request), err))
	}
	return nil
}

// fail counts a request that ended without an answer.
func (d *driver) fail(k *conn, err error) {
	k.class.broken++
	if k.class.why == "" {
		k.class.why = fmt.Sprintf("%v after %v", err, time.Duration(d.now()))
	}
	d.drop(k)
}

// answered counts an answer and gives its connection the next request that waits for one.
func (d *driver) answered(k *conn) error {
	c, now := k.class, d.now()
	k.busy = false
	c.byStatus[k.status] = append(c.byStatus[k.status], sample{k.due, now - k.due})
	c.served[k.status] = append(c.served[k.status], sample{k.due, k.arrived - k.written})
	if k.status == 200 && c.Length > 0 && k.body != c.Length {
		c.length++
	}
	if k.status == 503 && !k.retryAfter {
		c.retry++
	}
	if k.closing {
		d.drop(k)
		return nil
	}
	if !c.waiting.empty() {
		return d.send(k, c.waiting.pop().due)
	}
	c.free = append(c.free, k)
	return nil
}

func (c *class) result() ClassResult {
	r := ClassResult{
		Name: c.Name, Due: c.due, ByStatus: map[int]Times{}, Served: map[int]Times{}, GaveUp: c.gaveUp, Broken: c.broken, WrongLength: c.length, NoRetryAfter: c.retry,
		Late: summarize(c.late), Conns: c.opened, Waited: c.waited, Why: c.why,
	}
	for status, samples := range c.byStatus {
		if len(samples) > 0 {
			r.ByStatus[status], r.Served[status] = summarize(samples), summarize(c.served[status])
		}
	}
	return r
}
