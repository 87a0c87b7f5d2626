// A busy machine must not decide whether an image is optimized: encoders get a minute, here and in imgopt.
const experimental = { imgOptTimeoutInSeconds: 60 }

// The builds of the application, by name; each is in its own directory, .next-NAME. The Go test knows what to expect.
export const variants = {
  plain: {
    experimental,
    images: {
      formats: ['image/avif', 'image/webp'],
      deviceSizes: [480, 1080], // few, so that pre-warming every candidate takes seconds
      imageSizes: [64, 256],
      qualities: [50, 75],
      dangerouslyAllowLocalIP: true, // the remote host of the test is on the loopback
      remotePatterns: [{ protocol: 'http', hostname: '127.0.0.1', pathname: '/remote/**' }],
      minimumCacheTTL: 3600,
    },
  },

  // Everything below /docs, with SVG allowed, and with a life of no second: a browser has to ask again each time.
  docs: {
    experimental,
    basePath: '/docs',
    trailingSlash: true,
    images: {
      formats: ['image/webp'],
      deviceSizes: [480, 1080],
      imageSizes: [64, 256],
      qualities: [50, 75],
      dangerouslyAllowSVG: true,
      dangerouslyAllowLocalIP: true,
      remotePatterns: [{ protocol: 'http', hostname: '127.0.0.1', pathname: '/remote/**' }],
      minimumCacheTTL: 0,
    },
  },
}
