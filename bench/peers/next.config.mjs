// One configuration for every measurement: both formats, sources from the upstream of the benchmark (loopback), any
// query, which is what makes variants of one file distinct.
export default {
  typescript: { ignoreBuildErrors: true },
  turbopack: { root: import.meta.dirname },
  images: {
    formats: ['image/avif', 'image/webp'],
    remotePatterns: [{ protocol: 'http', hostname: '127.0.0.1' }],
    dangerouslyAllowLocalIP: true,
  },
}
