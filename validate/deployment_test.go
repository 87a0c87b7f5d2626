package validate

import (
	"strings"
	"testing"
	"unsafe"
)

func deploymentRules(t testing.TB, on bool) *Rules {
	t.Helper()
	r, err := Compile(Options{DeviceSizes: []int{640}, Qualities: []int{75}, RemotePatterns: []RemotePattern{{Hostname: new("example.com")}}, Deployments: on})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Where an id is looked for, in which order, and what is none.
func TestDeployment(t *testing.T) {
	r, off := deploymentRules(t, true), deploymentRules(t, false)
	for query, want := range map[string]string{
		"url=/a.png":                                     "",
		"url=/a.png&dpl=v1":                              "v1",
		"dpl=v1&url=/a.png":                              "v1",
		"url=/a.png&dpl=v1&dpl=v2":                       "v1", // URLSearchParams.get
		"url=/a.png&%64pl=v%31":                          "v1",
		"url=/a.png&DPL=v1":                              "",
		"url=/a.png&dpl=":                                "",
		"url=/a.png&dpl":                                 "",
		"url=/a.png&dpl=a.b":                             "",
		"url=/a.png&dpl=..%2Fv1":                         "",
		"url=/a.png&dpl=v1%00":                           "",
		"url=/a.png&dpl=v+1":                             "",
		"url=/a.png&dpl=" + strings.Repeat("v", 64):      strings.Repeat("v", 64),
		"url=/a.png&dpl=" + strings.Repeat("v", 65):      "",
		"url=/a.png%3Fdpl=v1":                            "v1",
		"url=/a.png%3Fx=1%26dpl=v1%26y=2":                "v1",
		"url=/a.png%3Fdpl%3Dv%2531":                      "v1", // escaped within the url, too
		"url=/a.png%3Fdpl=v1%26dpl=v2":                   "v1",
		"url=/a.png%3Fdpl=..%26dpl=v2":                   "",
		"url=/a.png%3Fxdpl=v1":                           "",
		"url=/a.png%23%3Fdpl=v1":                         "", // a fragment
		"url=/a.png%3Fdpl=v1&dpl=v2":                     "v2",
		"url=/a.png%3Fdpl=v1&dpl=..":                     "v1",
		"url=https://example.com/a.png&dpl=v1":           "",
		"url=https://example.com/a.png%3Fdpl=v1":         "",
		"url=/_next/static/media/a.png&dpl=v1":           "v1",
		"url=/_next/static/immutable/media/a.png&dpl=v1": "v1",
	} {
		query = strings.Replace(query, "url=", "w=640&q=75&url=", 1)
		p, err := r.Check(query, "image/webp")
		if err != nil || p.Deployment != want {
			t.Errorf("%s: %q, %v, want %q", query, p.Deployment, err, want)
		}
		// Without the option nobody looks, and everything else is the same.
		q, err := off.Check(query, "image/webp")
		p.Deployment = ""
		if err != nil || q != p {
			t.Errorf("%s: %+v, %v without deployments, want %+v", query, q, err, p)
		}
	}
}

// What is kept is not the request's memory.
func TestDeploymentIsACopy(t *testing.T) {
	query := strings.Clone("url=/a.png%3Fdpl=inner&w=640&q=75")
	for _, q := range []string{query, query + "&dpl=outer"} {
		p, err := deploymentRules(t, true).Check(q, "")
		if err != nil || p.Deployment == "" {
			t.Fatal(p, err)
		}
		for _, of := range []string{q, p.URL} {
			from, at := uintptr(unsafe.Pointer(unsafe.StringData(of))), uintptr(unsafe.Pointer(unsafe.StringData(p.Deployment)))
			if at >= from && at < from+uintptr(len(of)) {
				t.Errorf("the id of %s is in the memory of %s", q, of)
			}
		}
	}
}
