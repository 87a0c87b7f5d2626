package valkeytest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// ReplyError is an error that a server answered with.
type ReplyError string

// Error returns the server's words.
func (e ReplyError) Error() string { return string(e) }

// commandWithin bounds one command of a test.
const commandWithin = 5 * time.Second

// do sends one command over a connection of its own and returns the reply: a string, an int64, nil, or a []any of
// these. It is not the client under test, so what it sees is the server's own state.
func do(addr string, conf *tls.Config, auth []string, args ...string) (any, error) {
	dialer := &net.Dialer{Timeout: commandWithin}
	var (
		conn net.Conn
		err  error
	)
	if conf != nil {
		conn, err = tls.DialWithDialer(dialer, "tcp", addr, conf)
	} else {
		conn, err = dialer.Dial("tcp", addr)
	}
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(commandWithin)); err != nil {
		return nil, err
	}
	r := bufio.NewReader(conn)
	if len(auth) > 0 {
		if _, err := roundTrip(conn, r, append([]string{"AUTH"}, auth...)); err != nil {
			return nil, err
		}
	}
	return roundTrip(conn, r, args)
}

func roundTrip(w io.Writer, r *bufio.Reader, args []string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return nil, err
	}
	return readReply(r)
}

func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("empty reply")
	}
	kind, rest := line[0], line[1:]
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, ReplyError(rest)
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	}
	n, err := strconv.Atoi(rest)
	if err != nil {
		return nil, fmt.Errorf("reply %q: %w", line, err)
	}
	if n < 0 {
		return nil, nil
	}
	switch kind {
	case '$':
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		return string(b[:n]), err
	case '*':
		list := make([]any, n)
		for i := range list {
			if list[i], err = readReply(r); err != nil {
				return nil, err
			}
		}
		return list, nil
	default:
		return nil, fmt.Errorf("reply %q", line)
	}
}
