package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"imgopt/handler"
)

// Options configures a Client. The zero value is ready.
type Options struct {
	// HTTP is the client to ask with. Default: one that uses no proxy (the listener is private), keeps no connections
	// and waits 30 s at most. It must not follow redirections to where the listener is not.
	HTTP *http.Client
}

// Client asks one admin listener. Its methods may be called concurrently.
type Client struct {
	base *url.URL
	http *http.Client
}

const (
	// timeout is longer than anything the listener's actions take.
	timeout = 40 * time.Second
	// maxAnswer bounds an answer in bytes: thousands of dead letters.
	maxAnswer = 16 << 20
	// maxErrorText bounds the text of a Refused in bytes.
	maxErrorText = 16 << 10
)

// New returns a client of the listener at base, which is what the endpoints' paths are added to: http://127.0.0.1:9090.
// Without a scheme http is meant.
func New(base string, o Options) (*Client, error) {
	full := base
	if !strings.Contains(full, "://") {
		full = "http://" + full
	}
	u, err := url.Parse(full)
	if err != nil {
		// url.Error quotes the whole address, which may hold a password.
		return nil, errors.New("adminclient: the address is no url")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("adminclient: address %q: want http:// or https://, a host, and a path at most", u.Redacted())
	}
	c := &Client{base: u, http: o.HTTP}
	if c.http == nil {
		c.http = &http.Client{
			Timeout:       timeout,
			Transport:     &http.Transport{Proxy: nil, DisableKeepAlives: true},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return c, nil
}

// String returns the address without a password.
func (c *Client) String() string { return c.base.Redacted() }

// Unreachable says that nobody answered, or not as an admin listener does.
type Unreachable struct {
	// Address is the listener's, without a password.
	Address string
	// Err is the cause.
	Err error
}

// Error describes what happened.
func (e *Unreachable) Error() string {
	return fmt.Sprintf("the admin listener at %s cannot be asked: %v", e.Address, e.Err)
}

// Unwrap returns the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// Refused is an answer that says what is wrong.
type Refused struct {
	// Status is the HTTP status, 400 to 599: 404 for what the service does not have, 409 for a configuration it refused,
	// 503 for what it cannot reach now.
	Status int
	// Text is the reason in words; several lines if there are several.
	Text string
	// RetryAfter is when to ask again, or 0.
	RetryAfter time.Duration
}

// Error returns the reason.
func (e *Refused) Error() string { return e.Text }

// Purge has variants made anew.
func (c *Client) Purge(ctx context.Context, p handler.Purge) (handler.PurgeReport, error) {
	return post[handler.PurgeReport](ctx, c, "/purge", p)
}

// Queue describes the shared queue.
func (c *Client) Queue(ctx context.Context) (handler.QueueReport, error) {
	return ask[handler.QueueReport](ctx, c, http.MethodGet, "/queue", nil)
}

// chosen are dead letters: one, or all.
type chosen struct {
	ID  string `json:"id,omitempty"`
	All bool   `json:"all,omitempty"`
}

// Retry enqueues the job of a dead letter again, or of all of them if all is set and id is "", and returns how many. A
// letter that is not there is none.
func (c *Client) Retry(ctx context.Context, id string, all bool) (int, error) {
	r, err := post[struct{ Retried int }](ctx, c, "/queue/retry", chosen{id, all})
	return r.Retried, err
}

// Drop forgets dead letters, chosen as for Retry.
func (c *Client) Drop(ctx context.Context, id string, all bool) (int, error) {
	r, err := post[struct{ Dropped int }](ctx, c, "/queue/drop", chosen{id, all})
	return r.Dropped, err
}

// Cancel ends a job, queued or being worked on. False: there is no such job.
func (c *Client) Cancel(ctx context.Context, key string) (bool, error) {
	r, err := post[struct{ Cancelled bool }](ctx, c, "/queue/cancel", map[string]string{"key": key})
	return r.Cancelled, err
}

// Reload has the configuration read again. One that was refused is a *Refused with status 409 and the reasons.
func (c *Client) Reload(ctx context.Context) (handler.ReloadReport, error) {
	return post[handler.ReloadReport](ctx, c, "/reload", struct{}{})
}

// Ready asks whether the service wants requests. That it does not is no error.
func (c *Client) Ready(ctx context.Context) (handler.ReadyReport, error) {
	return ask[handler.ReadyReport](ctx, c, http.MethodGet, "/readyz", nil)
}

func post[R any](ctx context.Context, c *Client, path string, body any) (R, error) {
	b, err := json.Marshal(body)
	if err != nil {
		var none R
		return none, fmt.Errorf("adminclient: %w", err) // of strings and booleans: never
	}
	return ask[R](ctx, c, http.MethodPost, path, b)
}

// ask sends one request and returns its answer.
func ask[R any](ctx context.Context, c *Client, method, path string, body []byte) (r R, err error) {
	text, err := c.exchange(ctx, method, path, body)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		var none R
		return none, c.unreachable(fmt.Errorf("the answer is not what an admin listener of imgopt says: %w", err))
	}
	return r, nil
}

// exchange sends one request and returns the body of an answer that means success: 200, and for the readiness 503.
func (c *Client) exchange(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	target := *c.base
	target.Path = strings.TrimSuffix(target.Path, "/") + path
	request, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, c.unreachable(err)
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set(handler.HeaderProgram, "1")
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	status := answer.StatusCode
	switch {
	case err != nil:
		return nil, c.unreachable(fmt.Errorf("reading the answer: %w", err))
	case len(text) > maxAnswer:
		return nil, c.unreachable(fmt.Errorf("the answer is longer than %d MiB", maxAnswer>>20))
	case status == http.StatusOK, status == http.StatusServiceUnavailable && path == "/readyz":
		return text, nil
	case status < 400:
		return nil, c.unreachable(fmt.Errorf("the answer is %s: is there something in front of it?", answer.Status))
	default:
		return nil, refused(answer, text)
	}
}

// refused reads the reason, which something in front of the listener may not give as JSON.
func refused(answer *http.Response, text []byte) error {
	e := &Refused{Status: answer.StatusCode}
	var v struct{ Error string }
	if json.Unmarshal(text, &v) == nil && v.Error != "" {
		e.Text = v.Error
	} else {
		e.Text = strings.TrimSpace(answer.Status + ": " + strings.ToValidUTF8(string(text[:min(len(text), 200)]), ""))
	}
	if len(e.Text) > maxErrorText {
		e.Text = strings.ToValidUTF8(e.Text[:maxErrorText], "") + "…"
	}
	if n, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && n > 0 && n <= 3600 {
		e.RetryAfter = time.Duration(n) * time.Second
	}
	return e
}

// unreachable keeps the address out of the cause, which would have it a second time.
func (c *Client) unreachable(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	return &Unreachable{Address: c.String(), Err: err}
}
