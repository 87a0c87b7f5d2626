package handler

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/gofiber/fiber/v2"
)

// ops is the operators' page at /ops of the admin application: what a person on call wants to see first, and what they
// can do about it. It needs nothing but its own answer, and no script: that only keeps it fresh.
//
// What its forms post is taken from pages of this listener alone (isFromPage): a form of another site's could be sent
// here without asking.
type ops struct {
	*actions
	ready             *Readiness
	version, instance string
	demo, pprof       bool
	started           time.Time
	page              *template.Template
	style             template.CSS
	script            template.JS
	policy            string
}

//go:embed ops
var opsFiles embed.FS

// opsQueueTimeout is how long the page waits for the queue, so that the rest of it is there soon.
const opsQueueTimeout = 2 * time.Second

func newOps(o AdminOptions, a *actions) *ops {
	if o.Started.IsZero() {
		o.Started = time.Now()
	}
	read := func(name string) []byte {
		b, err := opsFiles.ReadFile("ops/" + name)
		if err != nil {
			panic(err) // the files are part of the program
		}
		return b
	}
	style, script := read("style.css"), read("page.js")
	return &ops{
		actions: a, ready: o.Ready, version: o.Version, instance: o.Instance, demo: o.Demo != nil, pprof: o.Pprof,
		started: o.Started,
		page:    template.Must(template.New("page").Parse(string(read("page.html")))),
		style:   template.CSS(style), script: template.JS(script),
		policy: fmt.Sprintf("default-src 'none'; script-src %s; style-src %s; img-src data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
			policyHash(script), policyHash(style)),
	}
}

// policyHash is how a Content-Security-Policy names what stands between two tags.
func policyHash(b []byte) string {
	sum := sha256.Sum256(b)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (o *ops) register(app *fiber.App) {
	app.Get("/ops", o.ownPage, func(c *fiber.Ctx) error {
		return o.send(c, http.StatusOK, "", noticeOf(c.Query("done"), c.QueryInt("n"), c.QueryInt("m")), Purge{})
	})
	for path, act := range map[string]func(*fiber.Ctx, url.Values) (string, error){
		"/ops/purge": o.postPurgeForm, "/ops/dead": o.postDeadForm, "/ops/reload": o.postReloadForm,
	} {
		app.Post(path, o.ownPage, func(c *fiber.Ctx) error {
			form, err := readForm(c)
			var done string
			if err == nil {
				done, err = act(c, form)
			}
			if err == nil {
				return c.Redirect("../ops?"+done, http.StatusSeeOther)
			}
			e := asAdminError(err)
			setRetryAfter(c, e)
			return o.send(c, e.status, "../", &notice{"bad", "That did not work: " + e.text}, Purge{URL: form.Get("url"), Prefix: form.Get("prefix")})
		})
	}
}

// readForm returns what a form of the page has posted.
func readForm(c *fiber.Ctx) (url.Values, error) {
	if !isFromPage(c) {
		return nil, refuseWith(http.StatusForbidden, "forms are only taken from the page itself; programs post JSON")
	}
	if c.Get(fiber.HeaderContentType) != fiber.MIMEApplicationForm {
		return nil, refuseWith(http.StatusUnsupportedMediaType, "Content-Type must be %s", fiber.MIMEApplicationForm)
	}
	form, err := url.ParseQuery(string(c.Request().Body()))
	if err != nil {
		return nil, refuseWith(http.StatusBadRequest, "the form cannot be read: %s", err)
	}
	return form, nil
}

func (o *ops) postPurgeForm(c *fiber.Ctx, form url.Values) (string, error) {
	if o.purger == nil {
		return "", refuseWith(http.StatusNotFound, textNoPurge)
	}
	r, err := o.purge(c, Purge{URL: form.Get("url"), Prefix: form.Get("prefix"), All: form.Get("all") == "true"})
	if err != nil {
		return "", err
	}
	if r.Pending {
		return "done=pending", nil
	}
	return "done=purged&n=" + strconv.Itoa(r.Heard), nil
}

func (o *ops) postDeadForm(c *fiber.Ctx, form url.Values) (string, error) {
	if o.queue == nil {
		return "", refuseWith(http.StatusNotFound, textNoQueue)
	}
	done, ok := map[string]string{"retry": "retried", "drop": "dropped"}[form.Get("do")]
	if !ok {
		return "", refuseWith(http.StatusBadRequest, "want retry or drop")
	}
	n, err := o.dead(c, done, form.Get("id"), form.Get("all") == "true")
	return "done=" + done + "&n=" + strconv.Itoa(n), err
}

func (o *ops) postReloadForm(c *fiber.Ctx, _ url.Values) (string, error) {
	if o.reloader == nil {
		return "", refuseWith(http.StatusNotFound, textNoReload)
	}
	r, err := o.reload(c)
	return fmt.Sprintf("done=reloaded&n=%d&m=%d", len(r.Changed), len(r.NeedRestart)), err
}

// notice is the line that tells what became of an action.
type notice struct{ Kind, Text string }

// noticeOf makes the line of an action that worked. The address says which, in words that are chosen here: whoever
// makes a link to the page cannot have it say something else.
func noticeOf(done string, n, m int) *notice {
	switch done {
	case "purged":
		if n > 1 {
			return &notice{"good", fmt.Sprintf("Purged. %d replicas were told at once; any other will find out by itself.", n)}
		}
		return &notice{"good", "Purged."}
	case "pending":
		return &notice{"warn", "Purged on this replica only: Valkey cannot be reached. The others will learn it when it is back."}
	case "retried":
		if n == 0 {
			return &notice{"warn", "Nothing to retry: it is not there any more."}
		}
		return &notice{"good", "Queued again: " + plural(n, "job") + "."}
	case "dropped":
		if n == 0 {
			return &notice{"warn", "Nothing to drop: it is not there any more."}
		}
		return &notice{"good", "Forgotten: " + plural(n, "dead letter") + "."}
	case "reloaded":
		text := "Configuration read: " + plural(n, "key") + " changed."
		if m > 0 {
			return &notice{"warn", text + " Only a restart will put " + plural(m, "other") + " in force."}
		}
		return &notice{"good", text}
	default:
		return nil
	}
}

// send renders the page. root is the way from the request's path to that of /.
func (o *ops) send(c *fiber.Ctx, status int, root string, n *notice, tried Purge) error {
	v := o.view(time.Now())
	v.Root, v.Notice, v.URL, v.Prefix = root, n, tried.URL, tried.Prefix
	var b bytes.Buffer
	if err := o.page.Execute(&b, v); err != nil {
		return fmt.Errorf("rendering the operators' page: %w", err)
	}
	c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
	c.Set(fiber.HeaderContentSecurityPolicy, o.policy)
	// With no-referrer browsers post forms with "Origin: null".
	c.Set(fiber.HeaderReferrerPolicy, "same-origin")
	return c.Status(status).Send(b.Bytes())
}

// askQueue returns the queue's report, or what is wrong with it.
func (o *ops) askQueue() (*QueueReport, *notice) {
	if o.queue == nil {
		return nil, &notice{"", "None: " + textNoQueue + ". Its work is in the metrics (imgopt_jobs_queued)."}
	}
	ctx, cancel := context.WithTimeout(context.Background(), opsQueueTimeout)
	defer cancel()
	r, err := o.queue.Queue(ctx)
	if err != nil {
		kind := "bad"
		if asAdminError(err).status == http.StatusServiceUnavailable {
			kind = "warn" // its check above says how long that has been so
		}
		return nil, &notice{kind, "The queue cannot be asked: " + adminText(err)}
	}
	return &r, nil
}
