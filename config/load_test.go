package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDefaults states the defaults of next/dist/shared/lib/image-config.js once more, independently of the tags.
func TestDefaults(t *testing.T) {
	c, p := mustLoad(t, Sources{})
	all, none := "**", ""
	want := &Config{
		Listen: ":3000", AdminListen: "127.0.0.1:9090", Origin: []string{}, Compress: true,
		Deployment: Deployment{Origin: []string{}, IDs: []string{}, Cookie: "__plt_dpl"},
		Images: Images{
			DeviceSizes: []int{640, 750, 828, 1080, 1200, 1920, 2048, 3840}, ImageSizes: []int{32, 48, 64, 96, 128, 256, 384},
			Qualities: []int{75}, Formats: []string{"image/webp"}, Domains: []string{}, RemotePatterns: []RemotePattern{},
			LocalPatterns:   []LocalPattern{{Pathname: &all, Search: &none}},
			MinimumCacheTTL: 14400, MaximumRedirects: 3, MaximumResponseBody: 50_000_000,
			ContentSecurityPolicy:  "script-src 'none'; frame-src 'none'; sandbox;",
			ContentDispositionType: "attachment", Loader: "default",
		},
		Timeout: 30 * time.Second, MaxAttempts: 3, ShutdownTimeout: 25 * time.Second, MaxConnections: 4096,
		SaturatedAfter: 30 * time.Second, Demo: true,
		Fetch: Fetch{
			Timeout: 7 * time.Second, RetryBudget: 0.2, MaxConnsPerHost: 64, HostShare: 0.75, AllowCIDRs: []string{}, Headers: []OriginHeaders{},
			Breaker: Breaker{Failures: 10, OpenFor: 5 * time.Second},
		},
		Transform: Transform{
			Queue: 512, Timeout: 7 * time.Second, MaxInputPixels: 268402689, Profile: "next", Mozjpeg: true,
			Isolation: IsolationProcess, Nice: 15, MaxJobs: 10000, MaxGrowth: 256 << 20,
		},
		Role:  RoleAll,
		Cache: Cache{Memory: 256 << 20, Valkey: ValkeyCache{StaleFor: 24 * time.Hour, MaxEntry: 4 << 20}},
		Storage: Storage{
			Type: "memory", Prefix: "imgopt:", ConnectTimeout: time.Second, Timeout: 250 * time.Millisecond,
			ResultTTL: 10 * time.Second, ErrorTTL: 5 * time.Second,
		},
		Tracing: Tracing{Headers: []string{}, Timeout: 10 * time.Second, SampleRatio: 1},
		Debug:   Debug{ServerTiming: TimingNever},
		Log:     Log{Level: "info", Format: "text", Access: true},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	for _, k := range keys().keys {
		if o := p.Of(k.path); o != (Origin{}) {
			t.Errorf("origin of %s: %v", k.path, o)
		}
	}
}

// TestPrecedence sets one key in every subset of the layers: the highest wins, and says so.
func TestPrecedence(t *testing.T) {
	const (
		next = 1 << iota
		file
		env
		flag
	)
	manifest := filepath.FromSlash("testdata/next/patterns/required-server-files.json")
	for set := range 16 {
		var s Sources
		want, origin := 14400, "default"
		if set&next != 0 {
			s.Flags = append(s.Flags, Flag{"nextDir", "testdata/next/patterns"})
			want, origin = 60, manifest
		}
		if set&file != 0 {
			s.File = writeFile(t, "log: {level: warn}\nimages:\n  minimumCacheTTL: 1\n")
			want, origin = 1, s.File+":3"
		}
		if set&env != 0 {
			s.Env = []string{"IMGOPT_IMAGES_MINIMUM_CACHE_TTL=2"}
			want, origin = 2, "IMGOPT_IMAGES_MINIMUM_CACHE_TTL"
		}
		if set&flag != 0 {
			s.Flags = append(s.Flags, Flag{"images.minimumCacheTTL", "3"})
			want, origin = 3, "--images.minimumCacheTTL"
		}
		c, p := mustLoad(t, s)
		if got := c.Images.MinimumCacheTTL; got != want {
			t.Errorf("layers %04b: %d, want %d", set, got, want)
		}
		if got := p.Of("images.minimumCacheTTL").String(); got != origin {
			t.Errorf("layers %04b: origin %s, want %s", set, got, origin)
		}
	}
}

func TestProvenance(t *testing.T) {
	path := writeFile(t, `# a comment
listen: ":8080"

images:
  qualities:
    - 50
    - 75
cache:
  disk: {path: /cache,
    max: 1GB}
`)
	_, p := mustLoad(t, Sources{File: path, Env: []string{"IMGOPT_LOG_FORMAT=json"}, Flags: []Flag{{"log.level", "debug"}}})
	for key, want := range map[string]Origin{
		"listen":             {FromFile, path, 2},
		"images.qualities":   {FromFile, path, 5},
		"cache.disk.path":    {FromFile, path, 9},
		"cache.disk.max":     {FromFile, path, 10},
		"log.format":         {FromEnv, "IMGOPT_LOG_FORMAT", 0},
		"log.level":          {FromFlag, "--log.level", 0},
		"images.deviceSizes": {},
	} {
		if got := p.Of(key); got != want {
			t.Errorf("%s: %+v, want %+v", key, got, want)
		}
	}
}

func TestFileForms(t *testing.T) {
	for name, content := range map[string]string{
		"yaml":        "images: {qualities: [1, 2]}\norigin: http://a:1\n",
		"json":        `{"images": {"qualities": [1, 2]}, "origin": "http:\/\/a:1"}`,
		"tabbed json": "{\n\t\"images\": {\n\t\t\"qualities\": [1,\t2]\n\t},\n\t\"origin\": [\"http://a:1\"]\n}\n",
		"bom":         "\ufefforigin: [http://a:1]\nimages:\n  qualities: [1, 2]\n",
		"alias":       "images:\n  qualities: &q [1, 2]\n  deviceSizes: *q\norigin: [http://a:1]\n",
		"sections":    "---\nfetch:\nlog: {}\norigin: [http://a:1]\nimages:\n  qualities: [1, 2]\n...\n",
	} {
		c, _ := mustLoad(t, Sources{File: writeFile(t, content)})
		if !reflect.DeepEqual(c.Images.Qualities, []int{1, 2}) || !reflect.DeepEqual(c.Origin, []string{"http://a:1"}) {
			t.Errorf("%s: qualities %v, origin %v", name, c.Images.Qualities, c.Origin)
		}
	}
	for _, empty := range []string{"", "\n", "# nothing\n", "---\n", "null\n", "{}"} {
		mustLoad(t, Sources{File: writeFile(t, empty)})
	}
}

func TestConfigVariable(t *testing.T) {
	path, other := writeFile(t, "maxAttempts: 7"), writeFile(t, "maxAttempts: 8")
	env := []string{"IMGOPT_CONFIG=" + path}
	if c, _ := mustLoad(t, Sources{Env: env}); c.MaxAttempts != 7 {
		t.Errorf("IMGOPT_CONFIG is not read: %d", c.MaxAttempts)
	}
	if c, _ := mustLoad(t, Sources{Env: env, File: other}); c.MaxAttempts != 8 {
		t.Errorf("File does not win over IMGOPT_CONFIG: %d", c.MaxAttempts)
	}
}

func TestLists(t *testing.T) {
	for name, tt := range map[string]struct {
		sources Sources
		want    []string
	}{
		"comma":          {Sources{Env: []string{"IMGOPT_ORIGIN=http://a, http://b"}}, []string{"http://a", "http://b"}},
		"json":           {Sources{Env: []string{`IMGOPT_ORIGIN=["http://a","http://b"]`}}, []string{"http://a", "http://b"}},
		"empty":          {Sources{File: writeFile(t, "origin: http://x"), Env: []string{"IMGOPT_ORIGIN="}}, []string{}},
		"repeated flags": {Sources{Flags: []Flag{{"origin", "http://a"}, {"origin", "http://b,http://c"}}}, []string{"http://a", "http://b", "http://c"}},
	} {
		if c, _ := mustLoad(t, tt.sources); !reflect.DeepEqual(c.Origin, tt.want) {
			t.Errorf("%s: %q, want %q", name, c.Origin, tt.want)
		}
	}
	if c, _ := mustLoad(t, Sources{Flags: []Flag{{"maxAttempts", "2"}, {"maxAttempts", "4"}}}); c.MaxAttempts != 4 {
		t.Errorf("the last of a repeated flag does not count: %d", c.MaxAttempts)
	}
}

func TestEmptyText(t *testing.T) {
	c, _ := mustLoad(t, Sources{
		Env:   []string{"IMGOPT_ADMIN_LISTEN=", "IMGOPT_CACHE_DISK_MAX=", "IMGOPT_CACHE_MEMORY=0"},
		Flags: []Flag{{"basePath", ""}},
	})
	if c.AdminListen != "" || c.Cache.Disk.Max != 0 || c.Cache.Memory != 0 {
		t.Errorf("%+v", c)
	}
}

// TestServiceLinks has the variables Kubernetes sets beside a Service called imgopt and one called imgopt-admin.
func TestServiceLinks(t *testing.T) {
	links := []string{
		"IMGOPT_SERVICE_HOST=10.0.0.1", "IMGOPT_SERVICE_PORT=80", "IMGOPT_SERVICE_PORT_HTTP=80", "IMGOPT_PORT=tcp://10.0.0.1:80",
		"IMGOPT_PORT_80_TCP=tcp://10.0.0.1:80", "IMGOPT_PORT_80_TCP_PROTO=tcp", "IMGOPT_PORT_80_TCP_PORT=80", "IMGOPT_PORT_80_TCP_ADDR=10.0.0.1",
		"IMGOPT_ADMIN_SERVICE_HOST=10.0.0.2", "IMGOPT_ADMIN_PORT=tcp://10.0.0.2:9090", "IMGOPT_ADMIN_PORT_9090_TCP_ADDR=10.0.0.2",
	}
	mustLoad(t, Sources{Env: links})
	if _, _, err := Load(Sources{Env: []string{"IMGOPT_PORT=3000"}}); err == nil {
		t.Error("IMGOPT_PORT=3000, which somebody wrote, is ignored")
	}
}

func TestBadText(t *testing.T) {
	for _, tt := range []struct {
		sources Sources
		want    string
	}{
		{Sources{Env: []string{"IMGOPT_LISTN=x"}}, `IMGOPT_LISTN: unknown variable; did you mean IMGOPT_LISTEN?`},
		{Sources{Env: []string{"IMGOPT_VALKEY_PASSWORD=secret"}}, `IMGOPT_VALKEY_PASSWORD: unknown variable; "imgopt serve --help" lists all`},
		{Sources{Env: []string{"IMGOPT_MAX_ATTEMPTS="}}, `IMGOPT_MAX_ATTEMPTS: maxAttempts: "": must be an integer from 1 to 100`},
		{Sources{Env: []string{"IMGOPT_TIMEOUT=30"}}, `IMGOPT_TIMEOUT: timeout: "30": has no unit; must be a duration from 1ms to 1h, such as 7s, 500ms or 1m30s`},
		{Sources{Env: []string{"IMGOPT_LOG_ACCESS=1"}}, `IMGOPT_LOG_ACCESS: log.access: "1": must be true or false`},
		{Sources{Env: []string{"IMGOPT_STORAGE_URL=valkey://user:pa,ss@host:x?sentinelPassword=s3cret"}}, `IMGOPT_STORAGE_URL: storage.url: "valkey://redacted@host:x?sentinelPassword=redacted": valkey url: a port must be a number from 1 to 65535`},
		{Sources{Flags: []Flag{{"storage.url", "valkey://host"}}}, `--storage.url: storage.url: "valkey://host": must be empty unless storage.type is valkey or redis; storage.type ("memory", default)`},
		{Sources{Flags: []Flag{{"role", "web"}}}, `--role: role: "web": must be all unless storage.type is valkey or redis; storage.type ("memory", default)`},
		{Sources{Flags: []Flag{{"storage.type", "redis"}}}, `--storage.type: storage.type: "redis": needs storage.url, for example valkey://127.0.0.1:6379`},
		{Sources{Flags: []Flag{{"debug.serverTiming", "request"}, {"debug.serverTimingToken", "s3cret"}}}, `--debug.serverTimingToken: debug.serverTimingToken: must have at least 8 characters; debug.serverTiming ("request", --debug.serverTiming)`},
		{Sources{Flags: []Flag{{"storage.prefix", "a{b}"}}}, `--storage.prefix: storage.prefix: "a{b}": must have at most 100 characters, and no braces or spaces`},
		{Sources{Flags: []Flag{{"storage.type", "valkey"}, {"storage.url", "valkey://host/3"}, {"storage.db", "4"}}}, `--storage.db: storage.db: 4: must be the database that storage.url ("valkey://host/3", --storage.url) names, or be left out`},
		{Sources{Env: []string{"IMGOPT_ORIGIN=http://user:pa/ss@host:x"}}, `IMGOPT_ORIGIN: origin[0]: "http://redacted@host:x": must be http://host[:port], https://host[:port] or file:///directory`},
		{Sources{Env: []string{"IMGOPT_ORIGIN=http://h\xff"}}, `IMGOPT_ORIGIN: origin: "http://h\xff": must be UTF-8 text without control characters`},
		{Sources{Env: []string{"IMGOPT_IMAGES_REMOTE_PATTERNS=example.com"}}, `IMGOPT_IMAGES_REMOTE_PATTERNS: images.remotePatterns: "example.com": must be a list of patterns {protocol, hostname, port, pathname, search}`},
		{Sources{Env: []string{"IMGOPT_IMAGES_REMOTE_PATTERNS=[{"}}, `IMGOPT_IMAGES_REMOTE_PATTERNS: images.remotePatterns: "[{": must be a list of patterns {protocol, hostname, port, pathname, search}, written as JSON`},
		{Sources{Flags: []Flag{{"storge.type", "memory"}}}, `--storge.type: unknown flag; did you mean --storage.type?`},
		{Sources{Flags: []Flag{{"storage.type", "disk"}}}, `--storage.type: storage.type: "disk": must be memory, filesystem, valkey or redis`},
		{Sources{Flags: []Flag{{"images.qualities", "1,,2"}}}, `--images.qualities: images.qualities[1]: "1,,2": must be an integer from 1 to 100`},
		{Sources{Flags: []Flag{{"images.formats", "image/webp"}, {"images.formats", "gif"}}}, `--images.formats: images.formats[1]: "image/webp,gif": must be image/avif or image/webp`},
		{Sources{Flags: []Flag{{"listen", ":9090"}}}, `--listen: listen: ":9090": must be another address than adminListen ("127.0.0.1:9090", default)`},
		{Sources{Flags: []Flag{{"adminListen", "[::1]:3000"}}}, `--adminListen: adminListen: "[::1]:3000": must be another address than listen (":3000", default)`},
		{Sources{Flags: []Flag{{"nextDir", "testdata/nothing"}}}, `--nextDir: nextDir: "testdata/nothing": cannot be read: no such file or directory`},
		{Sources{Flags: []Flag{{"nextDir", "testdata"}}}, `--nextDir: nextDir: "testdata": holds no Next.js build: neither required-server-files.json nor images-manifest.json is in it or in its .next; run next build, or give the distDir`},
		{Sources{File: "testdata/missing.yaml"}, `testdata/missing.yaml: cannot be read: no such file or directory`},
		{Sources{Env: []string{"IMGOPT_CONFIG=testdata"}}, `testdata: cannot be read: is a directory`},
	} {
		_, _, err := Load(tt.sources)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%+v\ngot  %v\nwant %s", tt.sources, err, tt.want)
		}
	}
}

func TestBadInput(t *testing.T) {
	large := writeFile(t, strings.Repeat("#", maxFile+1))
	if _, _, err := Load(Sources{File: large}); err == nil || err.Error() != large+": cannot be read: larger than 1MiB" {
		t.Errorf("large file: %v", err)
	}
	garbage := writeFile(t, "listen: \"\\q\"\n")
	if _, _, err := Load(Sources{File: garbage}); err == nil || err.Error() != garbage+": not valid YAML: found unknown escape character" {
		t.Errorf("garbage: %v", err)
	}
	long := strings.Repeat("é", 300)
	want := `--log.level: log.level: "` + long[:200] + `…": must be debug, info, warn or error`
	if _, _, err := Load(Sources{Flags: []Flag{{"log.level", long}}}); err == nil || err.Error() != want {
		t.Errorf("long value: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, serverFilesManifest), 0o755); err != nil {
		t.Fatal(err)
	}
	want = filepath.Join(dir, serverFilesManifest) + ": cannot be read: is a directory"
	if _, _, err := Load(Sources{Flags: []Flag{{"nextDir", dir}}}); err == nil || err.Error() != want {
		t.Errorf("manifest: %v", err)
	}
}

// TestBadFiles loads every file in testdata/bad. Its first lines, after "# ", are the exact errors without the path.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for line := range strings.Lines(string(data)) {
			message, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "# ")
			if !ok {
				break
			}
			want = append(want, path+":"+message)
		}
		_, _, err = Load(Sources{File: path})
		if err == nil || err.Error() != strings.Join(want, "\n") {
			t.Errorf("%s:\ngot  %v\nwant %s", path, err, strings.Join(want, "\n"))
		}
	}
}

// TestAllErrors expects the errors of all layers at once, as single values too.
func TestAllErrors(t *testing.T) {
	file := writeFile(t, "a: 1\nlisten: 3\n")
	_, _, err := Load(Sources{
		File: file, Env: []string{"IMGOPT_X=", "IMGOPT_MAX_ATTEMPTS=0"}, Flags: []Flag{{"transform.workers", "-1"}, {"b", ""}},
	})
	var errs Errors
	if !errors.As(err, &errs) || len(errs) != 6 {
		t.Fatalf("got %v", err)
	}
	var first *Error
	if !errors.As(err, &first) || first.Key != "a" || first.Origin != (Origin{FromFile, file, 1}) {
		t.Errorf("first: %+v", first)
	}
}

func TestValidate(t *testing.T) {
	c, _ := mustLoad(t, Sources{})
	if err := c.Validate(Any); err != nil {
		t.Errorf("Any: %v", err)
	}
	const want = `origin: not set; "imgopt serve" needs to know where relative urls are fetched: --origin http://127.0.0.1:3000, IMGOPT_ORIGIN, or origin in the configuration file`
	if err := c.Validate(Serve); err == nil || err.Error() != want {
		t.Errorf("Serve: %v", err)
	}
	c, _ = mustLoad(t, Sources{Flags: []Flag{{"origin", "http://127.0.0.1:3000"}}})
	if err := c.Validate(Serve); err != nil {
		t.Errorf("Serve with an origin: %v", err)
	}
}

func TestDiskCache(t *testing.T) {
	for name, tt := range map[string]struct {
		flags []Flag
		max   int64
		ok    bool
	}{
		"no path":         {nil, 0, false},
		"half the disk":   {[]Flag{{"cache.disk.path", "/c"}}, 0, true},
		"own limit":       {[]Flag{{"cache.disk.path", "/c"}, {"cache.disk.max", "1kB"}, {"images.maximumDiskCacheSize", "0"}}, 1000, true},
		"limit of Next":   {[]Flag{{"cache.disk.path", "/c"}, {"images.maximumDiskCacheSize", "5"}}, 5, true},
		"disabled":        {[]Flag{{"cache.disk.path", "/c"}, {"images.maximumDiskCacheSize", "0"}}, 0, false},
		"limit, no path":  {[]Flag{{"images.maximumDiskCacheSize", "5"}}, 0, false},
		"0 is not a size": {[]Flag{{"cache.disk.path", "/c"}, {"cache.disk.max", "0"}, {"images.maximumDiskCacheSize", "5"}}, 5, true},
	} {
		c, _ := mustLoad(t, Sources{Flags: tt.flags})
		path, limit, ok := c.DiskCache()
		if limit != tt.max || ok != tt.ok || ok != (path == "/c") {
			t.Errorf("%s: %q, %d, %v", name, path, limit, ok)
		}
	}
}

func TestByteSize(t *testing.T) {
	for s, want := range map[string]ByteSize{
		"0": 0, "1": 1, "1024": 1024, "12B": 12, "1kB": 1000, "1KB": 1000, "1KiB": 1024, "1.5 GiB": 3 << 29, "2Gi": 2 << 30, "1tb": 1e12,
		"50MB": 50e6, "256MiB": 256 << 20, "0.1kB": 100, "9223372036854775807": 9223372036854775807,
	} {
		got, err := ParseByteSize(s)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v", s, got, err)
		}
		if back, err := ParseByteSize(got.String()); err != nil || back != got {
			t.Errorf("%d → %s → %d, %v", got, got, back, err)
		}
	}
	for _, s := range []string{"", "x", "-1", "1M", "1G", "1.5", "1.5B", "9223372036854775808", "9000000TiB", "1e3", "1_000", "0x10", "MiB", "1 2", "9999999999.5TB"} {
		if b, err := ParseByteSize(s); err == nil {
			t.Errorf("%q: %d", s, b)
		}
	}
	for b, want := range map[ByteSize]string{0: "0", 1: "1", 1000: "1kB", 1024: "1KiB", 1500: "1500", 3 << 29: "1536MiB", 50e6: "50MB"} {
		if b.String() != want {
			t.Errorf("%d: %s, want %s", int64(b), b, want)
		}
	}
}
