package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"imgopt/deployment"
	"imgopt/failure"
)

// DeploymentOptions says where relative hrefs are fetched for other versions of the application than that of
// Options.Origins. The zero value knows none.
type DeploymentOptions struct {
	// Origins are like Options.Origins, with deployment.Placeholder in one of them at least: the id of the version. A
	// version is there if its folder is, or its host's name can be resolved; what is not there of several is left out.
	// An origin without the placeholder is the same for all versions, and no sign of any.
	Origins []string
	// IDs, if there are any, are all the versions there are: nothing is looked up to find out.
	IDs []string
	// Own is the version that Options.Origins serve, "" if they may serve any.
	Own string
}

// How long is known what was found out about an id, how many ids that may be, and what finding out may take. An id is a
// client's word: only those that exist are kept for longer, what others cost is bounded.
const (
	knownFor      = 30 * time.Second
	unknownFor    = 5 * time.Second
	maxKnown      = 256
	maxUnknown    = 1024
	lookTimeout   = 2 * time.Second
	looksAtOnce   = 50 // of names that are not known to resolve: a name server is asked for each in several domains
	looksEverySec = 20
)

// deployments finds out which ids are versions of the application, and where these are.
type deployments struct {
	client    *Client
	templates []deployment.Template
	shared    []origin // by template; nil where it has a placeholder
	basePath  string
	own       string
	fold      bool // ids are taken in lower case: in a host's name there is no other
	fixed     bool // all versions are in known, and stay there
	resolver  Resolver
	looks     *rate.Limiter // nil where nothing is resolved
	looking   singleflight.Group

	mu             sync.RWMutex
	known, unknown map[string]*version
}

// version is what is known about one id.
type version struct {
	origins []origin     // none if it is unknown
	until   atomic.Int64 // Unix time in ns after which it has to be looked at again
}

func (v *version) due(now time.Time) bool { return now.UnixNano() >= v.until.Load() }

func (c *Client) newDeployments(o DeploymentOptions, basePath string, resolver Resolver) (*deployments, error) {
	if len(o.Origins) == 0 {
		if len(o.IDs) > 0 {
			return nil, errors.New("deployments are listed, but no origin for them")
		}
		return nil, nil
	}
	d := &deployments{
		client: c, shared: make([]origin, len(o.Origins)), basePath: basePath, resolver: resolver, fixed: len(o.IDs) > 0,
		known: map[string]*version{}, unknown: map[string]*version{},
	}
	if resolver == nil {
		d.resolver = net.DefaultResolver
	}
	varies := false
	for i, s := range o.Origins {
		bad := func(err error) error { return fmt.Errorf("origin %q of deployments: %w", redact(s), err) }
		t, err := deployment.ParseTemplate(s)
		if err != nil {
			return nil, bad(err)
		}
		if !t.Varies() {
			if d.shared[i], err = c.newOrigin(s, basePath); err != nil {
				return nil, err
			}
		} else if example, ok := t.Expand("x"); !ok {
			return nil, bad(errors.New("the name of the host is too long"))
		} else if u, err := originURL(example); err != nil {
			return nil, bad(err)
		} else if t.InHost() && d.looks == nil && u.Hostname() != "" {
			d.fold, d.looks = true, rate.NewLimiter(looksEverySec, looksAtOnce)
		}
		varies = varies || t.Varies()
		d.templates = append(d.templates, t)
	}
	if !varies {
		return nil, fmt.Errorf("origins of deployments: none of them has %s", deployment.Placeholder)
	}
	d.own = d.name(o.Own)
	for _, id := range o.IDs {
		if !deployment.Valid(id) {
			return nil, fmt.Errorf("deployment %q: want letters, digits, - and _, at most %d", id, deployment.MaxID)
		}
		v := &version{}
		for i, t := range d.templates {
			if d.shared[i] != nil {
				v.origins = append(v.origins, d.shared[i])
				continue
			}
			place, err := d.at(t, d.name(id))
			if err != nil {
				return nil, fmt.Errorf("deployment %q: %w", id, err)
			}
			v.origins = append(v.origins, place)
		}
		d.known[d.name(id)] = v
	}
	return d, nil
}

// name is what an id is called in keys, and in origins.
func (d *deployments) name(id string) string {
	if d.fold {
		return strings.ToLower(id)
	}
	return id
}

// at makes an origin of a template. Whether it is there is another question.
func (d *deployments) at(t deployment.Template, name string) (origin, error) {
	s, ok := t.Expand(name)
	if !ok {
		return nil, errNoVersion
	}
	u, err := originURL(s)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return &directory{root: u.Path, basePath: d.basePath, maxBody: d.client.maxBody, mayBeMissing: true}, nil
	}
	return newServer(d.client, u), nil
}

// Deployment says under which name the sources of a deployment are fetched, "" for those of Options.Origins: of a version
// that is unknown, or their own. It never waits; settled is false if it takes FindDeployment to know.
func (c *Client) Deployment(id string) (name string, settled bool) {
	d := c.deployments
	if d == nil || !deployment.Valid(id) {
		return "", true
	}
	if name = d.name(id); name == d.own {
		return "", true
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.known[name] != nil { // looked at now and then when something is fetched, not here
		return name, true
	}
	v := d.unknown[name]
	return "", d.fixed || v != nil && !v.due(time.Now())
}

// FindDeployment is Deployment, and finds out what is not known. The error is a *failure.Error.
func (c *Client) FindDeployment(ctx context.Context, id string) (name string, err error) {
	d := c.deployments
	if d == nil || !deployment.Valid(id) {
		return "", nil
	}
	if name = d.name(id); name == d.own {
		return "", nil
	}
	v, err := d.version(ctx, name)
	if err != nil || len(v.origins) == 0 {
		return "", err
	}
	return name, nil
}

// errNoVersion is the cause where a version is gone that was there a moment ago.
var errNoVersion = errors.New("there is no such deployment")

// originsOf are the origins of a version that was found, maybe by another process: a name that comes out of a queue is
// not taken for an id unread.
func (c *Client) originsOf(ctx context.Context, name string) ([]origin, error) {
	if c.deployments == nil || !deployment.Valid(name) {
		return nil, relativeFailure(http.StatusNotFound, "deployment", fmt.Errorf("%q: %w", name, errNoVersion))
	}
	v, err := c.deployments.version(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(v.origins) == 0 {
		return nil, relativeFailure(http.StatusNotFound, "deployment", fmt.Errorf("%q: %w", name, errNoVersion))
	}
	return v.origins, nil
}

// version returns what is known, after finding out if it has to.
func (d *deployments) version(ctx context.Context, name string) (*version, error) {
	d.mu.RLock()
	known, unknown := d.known[name], d.unknown[name]
	d.mu.RUnlock()
	now := time.Now()
	switch {
	case d.fixed && known == nil:
		return &version{}, nil
	case d.fixed:
		return known, nil
	case known != nil:
		// One request looks again. The others go on with what is known.
		until := known.until.Load()
		if now.UnixNano() < until || !known.until.CompareAndSwap(until, now.Add(knownFor).UnixNano()) {
			return known, nil
		}
	case unknown != nil && !unknown.due(now):
		return unknown, nil
	case d.looks != nil && !d.looks.Allow():
		if unknown != nil {
			return unknown, nil
		}
		return nil, &failure.Error{
			Status: http.StatusServiceUnavailable, Reason: relativeWording.prefix + "_deployments", Text: http.StatusText(http.StatusServiceUnavailable),
			Retryable: true, RetryAfter: time.Second, Cause: errors.New("too many deployments are asked for that nobody knows"),
		}
	}
	// The look is shared: one caller's leaving is no reason to end it.
	found, err, _ := d.looking.Do(name, func() (any, error) { return d.look(context.WithoutCancel(ctx), name) })
	switch {
	case err == nil:
		return found.(*version), nil
	case known != nil:
		return known, nil
	case unknown != nil:
		return unknown, nil
	}
	f := failure.Wrap(http.StatusBadGateway, relativeWording.prefix+"_deployment", relativeWording.thrown, err)
	f.Retryable = true
	return nil, f
}

// look finds out where a version is, and remembers it.
func (d *deployments) look(ctx context.Context, name string) (*version, error) {
	ctx, leave, err := d.client.life.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	v, exists := &version{}, false
	for i, t := range d.templates {
		if d.shared[i] != nil {
			v.origins = append(v.origins, d.shared[i])
			continue
		}
		place, err := d.at(t, name)
		if errors.Is(err, errNoVersion) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found, err := d.isThere(ctx, place)
		if err != nil {
			return nil, fmt.Errorf("looking for deployment %q: %w", name, err)
		}
		if found {
			v.origins, exists = append(v.origins, place), true
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if exists {
		v.until.Store(time.Now().Add(knownFor).UnixNano())
		delete(d.unknown, name)
		keep(d.known, name, v, maxKnown)
	} else {
		v.origins = nil
		v.until.Store(time.Now().Add(unknownFor).UnixNano())
		delete(d.known, name)
		keep(d.unknown, name, v, maxUnknown)
	}
	return v, nil
}

// keep puts v in m, in the place of whichever comes first if m is full: maps are walked from a random place.
func keep(m map[string]*version, name string, v *version, most int) {
	if m[name] == nil && len(m) >= most {
		for old := range m {
			delete(m, old)
			break
		}
	}
	m[name] = v
}

// isThere reports whether there is such a folder, or such a host.
func (d *deployments) isThere(ctx context.Context, o origin) (bool, error) {
	if dir, ok := o.(*directory); ok {
		info, err := os.Stat(dir.root)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return false, nil
		}
		return err == nil && info.IsDir(), err
	}
	u := url.URL{Host: o.(*server).host}
	_, err := d.resolver.LookupNetIP(ctx, "ip", u.Hostname())
	var dns *net.DNSError
	if errors.As(err, &dns) && dns.IsNotFound {
		return false, nil
	}
	return err == nil, err
}
