// The configurations the conformance test runs, by name. Each is built into its own directory (.next-NAME), so
// that Next.js and imgopt (nextDir) read the very same configuration. The Go test knows what to ask of each.

const loopback = [{ hostname: '127.0.0.1' }, { hostname: 'localhost' }]

// patternHost(n) is the loopback address that belongs to the n-th pathname pattern below: an address of its own
// keeps the patterns apart, so that each is judged alone.
const patternHost = (n) => `127.0.1.${n}`

// Globs for `pathname`, each on its own address. The index is part of the contract with patterns_test.go.
export const pathnameGlobs = [
  '/a/*',
  '/a/**',
  '/a/**/*.png',
  '/a/*.{png,jpg}',
  '/a/?.png',
  '/a/[abc].png',
  '/a/[!abc].png',
  '/a/!(secret).png',
  '/a/@(x|y)/*',
  '/a/+(x|y)/*',
  '/a/*(x)y.png',
  '/a/{1..3}.png',
  '/a/exact.png',
  '**/b/*.png',
  '/**/c/**',
  '/a.b/*.png',
  '/a%20b/*',
  '/A/*',
  '/a/[[:digit:]].png',
  '!/a/secret.png',
  '/a/?(x)y.png',
  '/a\\*/*.png',
  '/*',
  '/',
  '/a/**/z',
  '/a/{x,y/**}/*.png',
  '/a/[a-c][0-9].png',
  '/a/.*',
  '/a/(x|y).png',
  '/é/*',
]

// Globs for `hostname`, each below its own path prefix /hN/. The index is part of the contract with patterns_test.go.
export const hostnameGlobs = [
  '127.0.0.*',
  '*.0.0.2',
  '**.2',
  '127.*.2.1',
  '127.0.{0,3}.1',
  '127.0.0.[12]',
  '*',
  '**',
  'localhost',
  '*.example.invalid',
  '**.example.invalid',
  'ex?mple.invalid',
  '[[]::1]',
  '*.xn--bcher-kva.invalid',
  'UPPER.invalid',
  '!127.0.0.1',
  '+(127|0|.)1',
  '127.0.0.{1..2}',
  '.example.invalid',
  'example.invalid.',
]

export const variants = {
  default: {},

  formats: {
    images: {
      formats: ['image/avif', 'image/webp'],
      qualities: [30, 75, 90],
      deviceSizes: [640, 1080],
      imageSizes: [16, 64, 256],
    },
  },

  remote: {
    images: {
      dangerouslyAllowLocalIP: true,
      dangerouslyAllowSVG: true,
      remotePatterns: [...loopback, { hostname: '*.invalid' }],
      minimumCacheTTL: 600, // longer than the test takes: nothing becomes stale by chance
    },
  },

  // Next.js takes at most 50 remote patterns, so the globs for hosts have a variant of their own.
  patterns: {
    images: {
      dangerouslyAllowLocalIP: true,
      qualities: [1, 42, 75, 100],
      deviceSizes: [640, 1000],
      imageSizes: [10, 100],
      localPatterns: [
        { pathname: '/images/**', search: '' },
        { pathname: '/gen/**' },
        { pathname: '/lp/q/**', search: '?v=1' },
        { pathname: '/lp/one/*' },
        { pathname: '/lp/**/deep/*.png' },
        { pathname: '/lp/{a,b}/[0-9].png', search: '' },
        { pathname: '/lp/dot/.*' },
        { pathname: '/lp/é/*' },
      ],
      remotePatterns: pathnameGlobs.map((pathname, n) => ({ hostname: patternHost(n), pathname })),
    },
  },

  hosts: {
    images: {
      dangerouslyAllowLocalIP: true,
      localPatterns: [],
      remotePatterns: [
        ...hostnameGlobs.map((hostname, n) => ({ hostname, pathname: `/h${n}/**` })),
        { protocol: 'http', hostname: '127.0.0.1', pathname: '/proto/http/**' },
        { protocol: 'https', hostname: '127.0.0.1', pathname: '/proto/https/**' },
        new URL('http://127.0.0.1:9/proto/url/**'),
        { hostname: '127.0.0.1', port: '', pathname: '/port/none/**' },
        { hostname: '127.0.0.1', port: '9', pathname: '/port/nine/**' },
        { hostname: '127.0.0.1', port: '80', pathname: '/port/eighty/**' },
        { hostname: '127.0.0.1', pathname: '/search/empty/**', search: '' },
        { hostname: '127.0.0.1', pathname: '/search/v/**', search: '?v=1&w=2' },
        { hostname: '127.0.0.1', pathname: '/search/any/**' },
        { hostname: '127.0.2.2' },
      ],
    },
  },

  basepath: {
    basePath: '/docs',
    trailingSlash: true,
    images: {
      formats: ['image/avif'],
      dangerouslyAllowLocalIP: true,
      localPatterns: [{ pathname: '/docs/**' }],
      remotePatterns: loopback,
    },
  },

  svg: {
    // Content-hashed assets below /_next/static/immutable, and a deployment id that pages add as ?dpl=.
    supportsImmutableAssets: true,
    deploymentId: 'e2e-deployment',
    images: {
      formats: ['image/avif', 'image/webp'],
      qualities: [1, 50, 75, 100],
      dangerouslyAllowSVG: true,
      dangerouslyAllowLocalIP: true,
      contentDispositionType: 'inline',
      contentSecurityPolicy: "default-src 'self'; script-src 'none'; sandbox;",
      remotePatterns: loopback,
    },
  },

  // Short lives and small limits: HIT and STALE within seconds, 413 and 508 within easy reach.
  tiny: {
    images: {
      dangerouslyAllowLocalIP: true,
      dangerouslyAllowSVG: true,
      minimumCacheTTL: 2,
      maximumResponseBody: 20000,
      maximumRedirects: 1,
      remotePatterns: loopback,
    },
  },

  // Every host may be asked, but no local address: what the guard refuses.
  guard: {
    images: { remotePatterns: [{ hostname: '**' }] },
  },

  // No compression of answers, no ETags of files, and one format only.
  plain: {
    compress: false,
    generateEtags: false,
    images: {
      formats: ['image/avif'],
      dangerouslyAllowLocalIP: true,
      dangerouslyAllowSVG: true,
      remotePatterns: loopback,
    },
  },

  // No disk cache, few sizes.
  uncached: {
    images: {
      maximumDiskCacheSize: 0,
      imageSizes: [],
      deviceSizes: [640],
      dangerouslyAllowLocalIP: true,
      dangerouslyAllowSVG: true,
      remotePatterns: loopback,
    },
  },

  // No optimizer at all.
  off: {
    images: { unoptimized: true },
  },

  // Encoder settings, domains, an absolute assetPrefix, no redirects.
  tuned: {
    assetPrefix: 'http://127.0.0.7:9',
    images: {
      formats: ['image/webp', 'image/avif'],
      qualities: [60, 75],
      deviceSizes: [320, 640],
      imageSizes: [24, 128],
      domains: ['127.0.0.1', 'localhost'],
      dangerouslyAllowLocalIP: true,
      dangerouslyAllowSVG: true,
      maximumRedirects: 0,
      minimumCacheTTL: 0,
    },
    experimental: {
      imgOptMozjpeg: false,
      imgOptMaxInputPixels: 300000,
      imgOptSequentialRead: false,
      imgOptTimeoutInSeconds: 5,
      imgOptConcurrency: 1,
    },
  },
}
