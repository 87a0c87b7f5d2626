import { variants } from './variants.mjs'

const name = process.env.E2E_VARIANT
if (!variants[name]) throw new Error(`E2E_VARIANT=${name}: not one of ${Object.keys(variants).join(', ')}`)

export default {
  distDir: `.next-${name}`,
  // The image configuration is what is tested; type checks and indicators only cost time.
  typescript: { ignoreBuildErrors: true },
  turbopack: { root: import.meta.dirname },
  async redirects() {
    return [{ source: '/redirected.png', destination: '/assets/tile.png', permanent: false }]
  },
  async rewrites() {
    return [{ source: '/rewritten.png', destination: '/assets/tile.png' }]
  },
  async headers() {
    return [{ source: '/assets/cached.png', headers: [{ key: 'Cache-Control', value: 'public, max-age=86400, s-maxage=90000' }] }]
  },
  ...variants[name],
}
