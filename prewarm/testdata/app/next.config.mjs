export default {
  distDir: 'build',
  turbopack: { root: import.meta.dirname },
  basePath: '/shop',
  trailingSlash: true,
  deploymentId: 'dpl-1',
  images: { formats: ['image/avif', 'image/webp'], qualities: [50, 75], remotePatterns: [{ hostname: 'cdn.example' }] },
}
