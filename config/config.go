package config

import "time"

// Config is a complete configuration: every field has a value. It is a snapshot and must not be changed.
//
// The tags of a field: key is its name in the file; default, min, max, enum and items (how many elements a list may
// have) are written as a user would write them. The comment is the manual. After changing any of them run
// `go test ./config -update`.
type Config struct {
	// Address (`host:port`) of the public listener, which serves `{basePath}/_next/image` and nothing else.
	Listen string `key:"listen" default:":3000"`
	// Address (`host:port`) of the admin listener with health, metrics and the demo page. Keep it private. Empty turns it off.
	AdminListen string `key:"adminListen" default:"127.0.0.1:9090"`
	// Where relative urls are fetched, tried in order: the frontend (`http://frontend:3000`) or a directory (`file:///app/public`). `imgopt serve` needs at least one.
	Origin []string `key:"origin" items:"0..16"`
	// A Next.js build: its `.next` (or other distDir), or the project directory that holds `.next`. `images`, `basePath` and the `experimental.imgOpt*` settings are taken from its manifests; keys given explicitly win. A new build there is noticed and put in force without a restart.
	NextDir    string     `key:"nextDir"`
	Deployment Deployment `key:"deployment"`
	// Prefix of the endpoint, as `basePath` in next.config.js: empty, or starts with `/` and does not end with it.
	BasePath string `key:"basePath"`
	// Whether pages ask for `{basePath}/_next/image/?url=…`, as `trailingSlash` in next.config.js. The form that they do not ask for is redirected to the other one.
	TrailingSlash bool `key:"trailingSlash" default:"false"`
	// Answer both forms instead of redirecting one, as `skipTrailingSlashRedirect` in next.config.js.
	SkipTrailingSlashRedirect bool `key:"skipTrailingSlashRedirect" default:"false"`
	// Compress the images that are text or bitmaps (SVG, ICO, BMP) for clients that accept it, as `compress` in next.config.js.
	Compress bool   `key:"compress" default:"true"`
	Images   Images `key:"images"`
	// What this process does, where several share `storage.type: valkey`: `web` answers requests and has no codecs, `worker` makes images and has no public listener, `all` does both.
	Role string `key:"role" default:"all" enum:"all,web,worker"`
	// Time limit of one job: waiting for a worker, all attempts to fetch the source, and the transformation.
	Timeout time.Duration `key:"timeout" default:"30s" min:"1ms" max:"1h"`
	// How often a job is tried, the first time included.
	MaxAttempts int `key:"maxAttempts" default:"3" min:"1" max:"100"`
	// Grace period after SIGTERM for finishing the requests and jobs that are under way.
	ShutdownTimeout time.Duration `key:"shutdownTimeout" default:"25s" min:"0s" max:"1h"`
	// Connections open at once on the public listener; more are answered with 503. A resting connection takes about 36 KiB.
	MaxConnections int `key:"maxConnections" default:"4096" min:"1" max:"1000000"`
	// Time between the moment `/readyz` says that the process stops and the moment it stops accepting connections, for load balancers that learn it late. A part of the grace period.
	ShutdownDelay time.Duration `key:"shutdownDelay" default:"0s" min:"0s" max:"1h"`
	// `/readyz` fails once new images have been refused for that long, so that a load balancer asks other replicas; hits are served all the while. 0 never fails for that reason, which is better where all replicas share the same load.
	SaturatedAfter time.Duration `key:"saturatedAfter" default:"30s" min:"0s" max:"1h"`
	// Serve a page on the admin listener on which images can be tried.
	Demo      bool      `key:"demo" default:"true"`
	Fetch     Fetch     `key:"fetch"`
	Transform Transform `key:"transform"`
	Responses Responses `key:"responses"`
	Cache     Cache     `key:"cache"`
	Storage   Storage   `key:"storage"`
	Log       Log       `key:"log"`
	Tracing   Tracing   `key:"tracing"`
	Debug     Debug     `key:"debug"`

	// Next is what is known about the build in NextDir. It is not a key.
	Next NextBuild
}

// Deployment configures where relative urls are fetched for a version of the application other than the one that origin
// serves, while several run side by side.
type Deployment struct {
	// Where relative urls are fetched for pages of a certain version, which send its `deploymentId` as `dpl=`: like `origin`, with `{dpl}` in the place of the id (`http://frontend-{dpl}:3000`, `file:///srv/releases/{dpl}`). A version is there if its host's name can be resolved, or its folder is there; unknown ids, and requests without one, go to `origin`. Empty: all go there, and ids mean nothing, as for Next.js.
	Origin []string `key:"origin" items:"0..16"`
	// The versions there are, instead of looking whether one is there. Needed where any name can be resolved (a wildcard in DNS).
	IDs []string `key:"ids" items:"0..100"`
	// Cookie with the id, for urls that have none. Images that such a cookie may decide about are sent with `Vary: Cookie`. Empty: cookies mean nothing.
	Cookie string `key:"cookie" default:"__plt_dpl"`
}

// Images has the names, meanings, defaults and limits of `images` in next.config.js
// (next/dist/shared/lib/image-config.js and next/dist/server/config-schema.js, 16.4.6). The options that only matter
// when a page is built or rendered (path, loaderFile, disableStaticImages, customCacheHandler) are not here.
type Images struct {
	// Widths in pixels that may be asked for, beside imageSizes.
	DeviceSizes []int `key:"deviceSizes" default:"640,750,828,1080,1200,1920,2048,3840" min:"1" max:"10000" items:"0..25"`
	// More widths in pixels that may be asked for.
	ImageSizes []int `key:"imageSizes" default:"32,48,64,96,128,256,384" min:"1" max:"10000" items:"0..25"`
	// Qualities that may be asked for. Only a build of a Next.js before 16 can leave this unset, which allows any.
	Qualities []int `key:"qualities" default:"75" min:"1" max:"100" items:"1..20"`
	// Formats to choose from for a client that accepts them, in order of preference.
	Formats []string `key:"formats" default:"image/webp" enum:"image/avif,image/webp" items:"0..4"`
	// Hosts from which any absolute url may be fetched. Deprecated by Next.js in favour of remotePatterns.
	Domains []string `key:"domains" items:"0..50"`
	// Absolute urls that may be fetched: a list of `{protocol, hostname, port, pathname, search}`, or of urls as given to `new URL()`. At most 50.
	RemotePatterns []RemotePattern `key:"remotePatterns"`
	// Relative urls that may be fetched: a list of `{pathname, search}`, at most 25. As in Next.js, static media is added to a list that is given. Only a build of a Next.js before 16 can leave this unset, which allows all.
	LocalPatterns []LocalPattern `key:"localPatterns" default:"[{pathname: '**', search: ''}]"`
	// Seconds for which an optimized image is fresh at least.
	MinimumCacheTTL int `key:"minimumCacheTTL" default:"14400" min:"0" max:"3153600000"`
	// Redirects followed when an absolute url is fetched.
	MaximumRedirects int `key:"maximumRedirects" default:"3" min:"0" max:"20"`
	// Largest source that is accepted.
	MaximumResponseBody ByteSize `key:"maximumResponseBody" default:"50000000" min:"1" max:"9007199254740991"`
	// Default of `cache.disk.max`; 0 turns the disk cache off.
	MaximumDiskCacheSize *ByteSize `key:"maximumDiskCacheSize" min:"0"`
	// Content-Security-Policy header of every image.
	ContentSecurityPolicy string `key:"contentSecurityPolicy" default:"script-src 'none'; frame-src 'none'; sandbox;"`
	// Whether a browser that opens an image's url saves or shows it.
	ContentDispositionType string `key:"contentDispositionType" default:"attachment" enum:"attachment,inline"`
	// Serve SVG sources, unchanged.
	DangerouslyAllowSVG bool `key:"dangerouslyAllowSVG" default:"false"`
	// Fetch absolute urls from private, loopback and other non-public addresses too.
	DangerouslyAllowLocalIP bool `key:"dangerouslyAllowLocalIP" default:"false"`
	// The application does not optimize images: the endpoint answers 404, as Next.js does.
	Unoptimized bool `key:"unoptimized" default:"false"`
	// With any loader but `default` the endpoint answers 404, as Next.js does.
	Loader string `key:"loader" default:"default" enum:"default,imgix,cloudinary,akamai,custom"`
}

// Fetch configures how sources are fetched.
type Fetch struct {
	// Time limit of one attempt to fetch a source.
	Timeout time.Duration `key:"timeout" default:"7s" min:"1ms" max:"1h"`
	// Retries allowed per job, on average over all jobs, so that a failing origin is not hammered.
	RetryBudget float64 `key:"retryBudget" default:"0.2" min:"0" max:"1"`
	// Connections open at once to one host; 0 sets no limit.
	MaxConnsPerHost int `key:"maxConnsPerHost" default:"64" min:"0" max:"65535"`
	// Memory for sources that are being fetched or encoded, and for their results; whatever needs more waits. It may be exceeded by one source. 0 is a share of the memory the process may use, at most 512MiB.
	MemoryLimit ByteSize `key:"memoryLimit" default:"0" min:"0"`
	// Share of the jobs under way that one host may have, so that a slow one does not hold up the others; 1 sets no limit.
	HostShare float64 `key:"hostShare" default:"0.75" min:"0.01" max:"1"`
	Breaker   Breaker `key:"breaker"`
	// Non-public addresses that absolute urls may reach all the same, as CIDR ranges such as `10.1.0.0/16`. `images.dangerouslyAllowLocalIP` allows them all.
	AllowCIDRs []string `key:"allowCIDRs" items:"0..100"`
	// Follow a redirect only to a url that `images.remotePatterns` or `images.domains` allow. Next.js follows any, and many image hosts redirect to their CDN.
	StrictRedirects bool `key:"strictRedirects" default:"false"`
	// Headers for the requests to some hosts, for example to authenticate: a list of `{origin: https://host, headers: {Name: value}}`. Never sent to another host, logged or shown.
	Headers []OriginHeaders `key:"headers" items:"0..50"`
}

// Breaker configures when a host that does not answer is left alone.
type Breaker struct {
	// Failures to connect and time-outs in a row after which a host is not asked for a while; 0 is never. Any answer ends the row.
	Failures int `key:"failures" default:"10" min:"0" max:"1000000"`
	// How long it is not asked.
	OpenFor time.Duration `key:"openFor" default:"5s" min:"1ms" max:"1h"`
}

// Responses configures the sending of images.
type Responses struct {
	// Memory for images that are being sent to clients, which slow clients hold; a further image is refused with 503. At least one image is always sent. 0 is a share of the memory the process may use, at most 512MiB.
	MemoryLimit ByteSize `key:"memoryLimit" default:"0" min:"0"`
}

// Transform configures decoding, resizing and encoding.
type Transform struct {
	// Images transformed at once; 0 is one for each CPU the process may use.
	Workers int `key:"workers" default:"0" min:"0" max:"1024"`
	// Jobs that may wait for a worker; beyond that requests are refused with 503. With `storage.type: valkey` that many for each process that works.
	Queue int `key:"queue" default:"512" min:"0" max:"1000000"`
	// Time limit of one transformation; 0 sets none of its own.
	Timeout time.Duration `key:"timeout" default:"7s" min:"0s" max:"1h"`
	// Sources with more pixels are not decoded but passed on unchanged; 0 sets no limit.
	MaxInputPixels int `key:"maxInputPixels" default:"268402689" min:"0" max:"9007199254740991"`
	// What encoders aim at. `next` gives the bytes of Next.js. For images that look as good, `fast` takes 0.4 to 0.65 of the processor time and 15 to 25 % more bytes, `small` 3 to 4 % fewer bytes (not for JPEG) and 1.4 to 3 times the processor time (docs/profiles.md). Their bytes are not those of Next.js, and change with versions of imgopt. Caches keep the images of each apart.
	Profile string `key:"profile" default:"next" enum:"next,fast,small"`
	// Encode JPEG as mozjpeg does: smaller files for more time. The profiles `fast` and `small` decide that themselves.
	Mozjpeg bool `key:"mozjpeg" default:"true"`
	// Where images are decoded and encoded: `process` gives every worker a process of its own without network, files or the right to start programs, so that a crash costs one image; `none` does it in the service's own process.
	Isolation string `key:"isolation" default:"process" enum:"process,none"`
	// How much codec processes yield to everything else on the machine, as in nice(1); 0 does not yield. Only for `transform.isolation: process`.
	Nice int `key:"nice" default:"15" min:"0" max:"19"`
	// Jobs after which a codec process is replaced; 0 is never.
	MaxJobs int `key:"maxJobs" default:"10000" min:"0" max:"1000000000"`
	// Memory that the images being decoded and encoded may take together, estimated from their headers; an image for which there is no room waits. One alone is always let in. 0 is a share of the memory the process may use.
	MemoryLimit ByteSize `key:"memoryLimit" default:"0" min:"0"`
	// Memory that one codec process may allocate; an image that needs more is passed on unchanged. 0 is 2GiB, or `transform.memoryLimit` if that is less.
	MaxMemory ByteSize `key:"maxMemory" default:"0" min:"0"`
	// A codec process whose memory has grown by more than that since its first job is replaced; 0 is never.
	MaxGrowth ByteSize `key:"maxGrowth" default:"256MiB" min:"0"`
}

// Values of Transform.Isolation, Storage.Type, Role and Debug.ServerTiming.
const (
	IsolationProcess  = "process"
	IsolationNone     = "none"
	StorageMemory     = "memory"
	StorageFilesystem = "filesystem"
	StorageValkey     = "valkey"
	StorageRedis      = "redis"
	RoleAll           = "all"
	RoleWeb           = "web"
	RoleWorker        = "worker"
	TimingNever       = "never"
	TimingAlways      = "always"
	TimingRequest     = "request"
)

// Cache configures where optimized images are kept.
type Cache struct {
	// Memory for optimized images; 0 turns the memory cache off. In a container the default is at most a sixth of its memory.
	Memory ByteSize    `key:"memory" default:"256MiB" min:"0"`
	Disk   DiskCache   `key:"disk"`
	Valkey ValkeyCache `key:"valkey"`
}

// ValkeyCache configures the tier of the cache that replicas share. There is one with `storage.type: valkey`.
type ValkeyCache struct {
	// How long an optimized image is kept after it has become stale; until then it is served while it is made anew.
	StaleFor time.Duration `key:"staleFor" default:"24h" min:"1s" max:"87600h"`
	// Largest optimized image that is kept there. A larger one is passed on to the replicas that wait for it, and kept by them.
	MaxEntry ByteSize `key:"maxEntry" default:"4MiB" min:"1024" max:"268435456"`
}

// DiskCache configures the disk tier of the cache.
type DiskCache struct {
	// Directory for optimized images; several processes may share it. Empty turns the disk cache off.
	Path string `key:"path"`
	// Disk space for optimized images; 0 is `images.maximumDiskCacheSize` if that is set, else half of the disk's free space.
	Max ByteSize `key:"max" default:"0" min:"0"`
}

// Storage configures where jobs are kept, and what replicas share.
type Storage struct {
	// Where queued jobs are kept. With `filesystem`, jobs nobody waits for survive a crash. With `valkey` or `redis`, which are the same, all processes with the same url and prefix are one optimizer: an image is made once for all of them, by whichever is free, and they share a cache.
	Type string `key:"type" default:"memory" enum:"memory,filesystem,valkey,redis"`
	// Directory for `storage.type: filesystem`.
	Path string `key:"path"`
	// The server for `storage.type: valkey` (Valkey 8 or Redis 7): `valkey://[user:password@]host[:port][/db]`, or `redis://`, `valkeys://` and `rediss://` (TLS). Several hosts with commas are nodes of a cluster, or the sentinels with `?sentinel=name`. More options: `cluster`, `ca`, `cert`, `key`, `serverName`, `insecure`, `sentinelUsername`, `sentinelPassword`. The userinfo is never logged or shown.
	URL string `key:"url"`
	// Begins the name of every key and channel there.
	Prefix string `key:"prefix" default:"imgopt:"`
	// Number of the database there, if the url does not name one.
	DB int `key:"db" default:"0" min:"0" max:"65535"`
	// Time limit of one attempt to connect there.
	ConnectTimeout time.Duration `key:"connectTimeout" default:"1s" min:"1ms" max:"1m"`
	// Time limit of looking up an image there. What takes longer is a miss; when it happens again and again, the server is left alone until it answers.
	Timeout time.Duration `key:"timeout" default:"250ms" min:"1ms" max:"1m"`
	// How long the end of a job is remembered there for replicas that ask a moment late.
	ResultTTL time.Duration `key:"resultTTL" default:"10s" min:"1s" max:"1h"`
	// How long the failure of a job (status 500 and above) answers for further requests, so that a failing origin is not hammered;
	// up to 30 s if the origin asked for it (`Retry-After`).
	ErrorTTL time.Duration `key:"errorTTL" default:"5s" min:"1s" max:"1h"`
}

// Shared reports whether jobs and images are shared with other processes.
func (c *Config) Shared() bool {
	return c.Storage.Type == StorageValkey || c.Storage.Type == StorageRedis
}

// Log configures the log.
type Log struct {
	// Least important level that is logged.
	Level string `key:"level" default:"info" enum:"debug,info,warn,error"`
	// Form of a log line.
	Format string `key:"format" default:"text" enum:"text,json"`
	// Log every request.
	Access bool `key:"access" default:"true"`
}

// Tracing configures OpenTelemetry traces. Where a key is not given, the standard variable of its meaning counts.
type Tracing struct {
	// Collector that traces are sent to, as OTLP over HTTP (`http://otel-collector:4318`; without a path, `/v1/traces` is meant). Empty turns tracing off. If not given: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or `OTEL_EXPORTER_OTLP_ENDPOINT`, unless `OTEL_SDK_DISABLED` or `OTEL_TRACES_EXPORTER` say otherwise.
	Endpoint string `key:"endpoint"`
	// Headers for the collector, each `name=value`. Never logged or shown. If not given: `OTEL_EXPORTER_OTLP_TRACES_HEADERS` or `OTEL_EXPORTER_OTLP_HEADERS`.
	Headers []string `key:"headers" items:"0..50"`
	// Time limit of sending one batch of spans, all tries together. If not given: `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` or `OTEL_EXPORTER_OTLP_TIMEOUT`, in milliseconds.
	Timeout time.Duration `key:"timeout" default:"10s" min:"1ms" max:"1m"`
	// Share of the requests that are recorded, where nobody in front has decided. If not given: what `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` say.
	SampleRatio float64 `key:"sampleRatio" default:"1" min:"0" max:"1"`
	// Take over the trace, and the decision whether to record, from `traceparent` and `tracestate` of a request. Only where an ingress sets or removes them: otherwise strangers decide what is recorded. Without it a request begins its own trace, with a link.
	TrustParent bool `key:"trustParent" default:"false"`
	// Send `traceparent` with requests to `origin`, so that the frontend's spans are part of the trace. Hosts of absolute urls never get it.
	PropagateToOrigin bool `key:"propagateToOrigin" default:"false"`
}

// Debug configures what helps to find out why something is slow.
type Debug struct {
	// Serve profiles of the process on the admin listener (`/debug/pprof/`).
	Pprof bool `key:"pprof" default:"false"`
	// Whether answers tell where their time went, in the header `Server-Timing`, which browsers show: to nobody, to everybody, or to those who send `debug.serverTimingToken` in the header `X-Imgopt-Timing`.
	ServerTiming string `key:"serverTiming" default:"never" enum:"never,always,request"`
	// What has to be sent for `debug.serverTiming: request`, at least 8 characters. Never logged or shown.
	ServerTimingToken string `key:"serverTimingToken"`
}

// RemotePattern is one element of images.remotePatterns. A nil field was not given and matches anything; a pointer to
// "" matches only the empty string (next/dist/shared/lib/match-remote-pattern.js).
type RemotePattern struct {
	// Protocol is http or https, without a colon.
	Protocol *string `json:"protocol,omitempty"`
	// Hostname is a picomatch glob. It is empty if and only if HostnameRegexp is set.
	Hostname string `json:"hostname,omitempty"`
	// Port is the port as a url shows it: "" is the protocol's default port.
	Port *string `json:"port,omitempty"`
	// Pathname is a picomatch glob, by default **.
	Pathname *string `json:"pathname,omitempty"`
	// Search is the query with its question mark.
	Search *string `json:"search,omitempty"`
	// HostnameRegexp and PathnameRegexp are sources of JavaScript regular expressions, used instead of the globs: this is
	// how images-manifest.json gives them.
	HostnameRegexp string `json:"hostnameRegexp,omitempty"`
	PathnameRegexp string `json:"pathnameRegexp,omitempty"`
}

// OriginHeaders is one element of fetch.headers.
type OriginHeaders struct {
	// Origin is http or https, a host and maybe a port.
	Origin string `json:"origin"`
	// Headers are names and values.
	Headers map[string]string `json:"headers"`
}

// LocalPattern is one element of images.localPatterns, with the same conventions as RemotePattern
// (next/dist/shared/lib/match-local-pattern.js).
type LocalPattern struct {
	Pathname       *string `json:"pathname,omitempty"`
	Search         *string `json:"search,omitempty"`
	PathnameRegexp string  `json:"pathnameRegexp,omitempty"`
}

// NextBuild is what a Next.js build says that is not a key of the configuration.
type NextBuild struct {
	// Dir is the build's distDir: NextDir or a directory in it. Empty without a build.
	Dir string `json:"dir"`
	// Manifest is the file the values were read from.
	Manifest string `json:"manifest"`
	// Version is the version of Next.js, or empty if the build does not tell.
	Version string `json:"version"`
	// AssetPrefix is the build's assetPrefix. It is not known from images-manifest.json.
	AssetPrefix string `json:"assetPrefix"`
	// DeploymentID is the build's deploymentId, or empty.
	DeploymentID string `json:"deploymentId"`
	// inOrigin says that the build is in a folder of origin.
	inOrigin bool
}

// DiskCache returns the directory of the disk cache and how many bytes it may hold, where 0 stands for half of the
// disk's free space. ok is false when there is no disk cache.
func (c *Config) DiskCache() (path string, limit int64, ok bool) {
	if c.Cache.Disk.Path == "" {
		return "", 0, false
	}
	if c.Cache.Disk.Max > 0 {
		return c.Cache.Disk.Path, int64(c.Cache.Disk.Max), true
	}
	switch m := c.Images.MaximumDiskCacheSize; {
	case m == nil:
		return c.Cache.Disk.Path, 0, true
	case *m == 0:
		return "", 0, false
	default:
		return c.Cache.Disk.Path, int64(*m), true
	}
}
