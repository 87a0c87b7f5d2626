// Builds small real Next.js apps and keeps the manifests that package config reads, without machine paths.
//
//   node build.mjs DIR [CASE...]
//
// DIR holds a real node_modules with next, react and react-dom; the apps are built in DIR/apps. Without cases, all
// that fit the installed major version of Next.js are built (next15 needs Next.js 15, the others 16).
import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const cases = {
  defaults: 'export default {}',
  patterns: `export default {
    images: {
      deviceSizes: [640, 828, 1200],
      imageSizes: [16, 32],
      qualities: [50, 75, 100],
      formats: ['image/avif', 'image/webp'],
      domains: ['legacy.example.com'],
      remotePatterns: [
        new URL('https://photos.example.com/account/**'),
        { protocol: 'https', hostname: '*.example.org', port: '', pathname: '/media/**', search: '?v=1' },
        { hostname: '**.cdn.example.net' },
      ],
      localPatterns: [{ pathname: '/assets/**', search: '' }, { pathname: '/uploads/**' }],
      minimumCacheTTL: 60,
      maximumRedirects: 0,
      maximumResponseBody: 1000000,
      maximumDiskCacheSize: 500000000,
      contentSecurityPolicy: "default-src 'none'",
      contentDispositionType: 'inline',
      dangerouslyAllowSVG: true,
      dangerouslyAllowLocalIP: true,
    },
    experimental: {
      imgOptMaxInputPixels: 1000000,
      imgOptSequentialRead: false,
      imgOptTimeoutInSeconds: 20,
      imgOptMozjpeg: false,
    },
  }`,
  basepath: `export default {
    basePath: '/docs',
    trailingSlash: true,
    assetPrefix: 'https://cdn.example.com/assets',
    images: { remotePatterns: [{ protocol: 'https', hostname: 'img.example.com' }] },
  }`,
  unoptimized: 'export default { images: { unoptimized: true } }',
  loader: "export default { images: { loader: 'custom', loaderFile: './loader.js' } }",
  standalone: `export default {
    output: 'standalone',
    compress: false,
    skipTrailingSlashRedirect: true,
    distDir: 'build',
    images: { localPatterns: [], maximumDiskCacheSize: 0 },
  }`,
  // A Next.js before 16 writes neither qualities nor localPatterns: any quality, every local url.
  next15: `export default {
    images: { remotePatterns: [{ protocol: 'https', hostname: 'img.example.com', pathname: '/a/**' }] },
  }`,
}

const here = dirname(fileURLToPath(import.meta.url))
const [dir, ...wanted] = process.argv.slice(2)
const root = resolve(dir)
const installed = JSON.parse(readFileSync(join(root, 'node_modules/next/package.json'), 'utf8')).version
const fits = (name) => (name === 'next15') === installed.startsWith('15.')

for (const name of wanted.length ? wanted : Object.keys(cases).filter(fits)) {
  const app = join(root, 'apps', name)
  rmSync(app, { recursive: true, force: true })
  mkdirSync(join(app, 'pages'), { recursive: true })
  writeFileSync(join(app, 'pages/index.js'), 'export default function Page() { return <p>ok</p> }\n')
  writeFileSync(join(app, 'loader.js'), 'export default function loader({ src }) { return src }\n')
  writeFileSync(join(app, 'package.json'), JSON.stringify({ name, private: true }))
  writeFileSync(join(app, 'next.config.mjs'), cases[name])
  execFileSync('node', [join(root, 'node_modules/next/dist/bin/next'), 'build'], {
    cwd: app,
    stdio: 'inherit',
    env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' },
  })
  keep(join(app, name === 'standalone' ? 'build' : '.next'), join(here, name))
}

function keep(dist, out) {
  rmSync(out, { recursive: true, force: true })
  mkdirSync(join(out, 'diagnostics'), { recursive: true })
  const server = JSON.parse(readFileSync(join(dist, 'required-server-files.json'), 'utf8'))
  const c = server.config
  const images = (i) => (i.loaderFile ? { ...i, loaderFile: '/app/loader.js' } : i)
  write(join(out, 'required-server-files.json'), {
    version: server.version,
    config: {
      distDir: c.distDir,
      output: c.output,
      basePath: c.basePath,
      assetPrefix: c.assetPrefix,
      trailingSlash: c.trailingSlash,
      skipTrailingSlashRedirect: c.skipTrailingSlashRedirect,
      compress: c.compress,
      images: images(c.images),
      experimental: Object.fromEntries(Object.entries(c.experimental).filter(([k]) => k.startsWith('imgOpt'))),
    },
  })
  const manifest = JSON.parse(readFileSync(join(dist, 'images-manifest.json'), 'utf8'))
  write(join(out, 'images-manifest.json'), { ...manifest, images: images(manifest.images) })
  const routes = JSON.parse(readFileSync(join(dist, 'routes-manifest.json'), 'utf8'))
  write(join(out, 'routes-manifest.json'), { version: routes.version, appType: routes.appType, basePath: routes.basePath })
  const framework = join(dist, 'diagnostics/framework.json')
  if (existsSync(framework)) cpSync(framework, join(out, 'diagnostics/framework.json'))
}

function write(path, value) {
  writeFileSync(path, JSON.stringify(value, null, 1) + '\n')
}
