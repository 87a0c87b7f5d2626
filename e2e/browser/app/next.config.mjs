import { variants } from './variants.mjs'

const name = process.env.E2E_VARIANT
if (!variants[name]) throw new Error(`E2E_VARIANT=${name}: not one of ${Object.keys(variants).join(', ')}`)

// Images only from the page's own host: a remote image that did not come through the optimizer would be refused.
const policy = "default-src 'self'; img-src 'self' data:; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"

export default {
  distDir: `.next-${name}`,
  typescript: { ignoreBuildErrors: true },
  turbopack: { root: import.meta.dirname },
  env: { BASE: variants[name].basePath ?? '' },
  async headers() {
    // Not for /_next: what an ingress has to do about headers() is not the subject here.
    return [{ source: '/((?!_next/).*)', headers: [{ key: 'Content-Security-Policy', value: policy }] }]
  },
  ...variants[name],
}
