// Asks the real Next what it makes of every file of testdata/images, fails where that is not what
// the case expects, and writes what it learnt into cases.json (the field `next`).
//
//   node testdata/generate/oracle.mjs DIR [name…]
//
// DIR is a folder whose node_modules holds next and sharp. With names, only those cases are asked,
// and nothing is written.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const [dir, ...only] = process.argv.slice(2)
if (!dir) {
  console.error('usage: node oracle.mjs DIR [name…]   (DIR/node_modules holds next and sharp)')
  process.exit(2)
}
const require = createRequire(join(resolve(dir), 'package.json'))
const { imageOptimizerTransform } = require('next/dist/server/image-optimizer/transform.js')
const { detectContentType } = require('next/dist/server/image-optimizer/detect-content-type.js')
const isAnimated = require('next/dist/compiled/is-animated')
const { defaultConfig } = require('next/dist/server/config-shared.js')
const sharp = require('sharp')

const images = join(dirname(fileURLToPath(import.meta.url)), '..', 'images')
const widths = [64, 640]
const formats = ['image/webp', 'image/avif', '']
const animatable = ['image/webp', 'image/png', 'image/gif']
const sum = (b) => createHash('sha256').update(b).digest('hex')

// One answer of Next: what became of the file at this width, for a client that takes this format.
async function ask(buffer, width, format, allowSVG = false) {
  const config = {
    ...defaultConfig,
    images: { ...defaultConfig.images, dangerouslyAllowSVG: allowSVG },
    // The heavy cases may or may not make Next's 7 seconds; what is written down must not depend on that.
    experimental: { ...defaultConfig.experimental, imgOptTimeoutInSeconds: 600 },
  }
  const upstream = { buffer, etag: 'upstream', contentType: null, cacheControl: null }
  const params = { href: '/x', quality: 75, width, mimeType: format }
  let out
  try {
    out = await imageOptimizerTransform(upstream, params, config)
  } catch (e) {
    // What is no ImageError, Next's server answers with 500 and its own text.
    if (e.statusCode) return { answer: 'error', status: e.statusCode, text: e.message }
    return { answer: 'error', status: 500, text: 'Internal Server Error', reason: reason(e) }
  }
  if (out.error) return { answer: 'fallback', type: out.contentType, reason: reason(out.error) }
  if (out.buffer === buffer) return { answer: 'passthrough', type: out.contentType }
  const m = await sharp(out.buffer, { limitInputPixels: false }).metadata()
  return { answer: 'optimized', type: out.contentType, w: m.width, h: m.height, bytes: out.buffer.length, sha256: sum(out.buffer) }
}

const reason = (e) => String(e.message).trim().replace(/\s*\n\s*/g, '; ')

async function oracle(buffer, widths) {
  let type = null
  let animated = false
  try {
    type = await detectContentType(buffer)
    animated = animatable.includes(type) && isAnimated(buffer)
  } catch (e) {
    animated = false // and the transformation throws as well
  }
  const next = { type: type ?? '', animated }
  const first = await ask(buffer, widths[0], formats[0])
  if (first.answer === 'error' || first.answer === 'passthrough') {
    Object.assign(next, first)
    if (type === 'image/svg+xml') next.allowSVG = (await ask(buffer, widths[0], formats[0], true)).answer
    return next
  }
  next.answer = first.answer
  next.variants = []
  for (const width of widths) {
    for (const format of formats) {
      const v = width === widths[0] && format === formats[0] ? first : await ask(buffer, width, format)
      next.variants.push({ width, format, ...v })
    }
  }
  return next
}

const file = join(images, 'cases.json')
const cases = JSON.parse(readFileSync(file, 'utf8'))
let wrong = 0
for (const c of cases) {
  if (only.length > 0 && !only.includes(c.name)) continue
  const buffer = readFileSync(join(images, c.file))
  if (sum(buffer) !== c.sha256) throw new Error(`${c.file} is not the file cases.json lists: run the generator first`)
  const started = Date.now()
  const next = await oracle(buffer, c.heavy ? widths.slice(0, 1) : widths)
  const took = Date.now() - started
  if (took > 5000) console.log(`${c.name}: took ${took} ms`)
  for (const key of ['type', 'animated', 'answer', 'status', 'text']) {
    if (c[key] !== next[key]) {
      wrong++
      console.log(`${c.name}: ${key} is ${JSON.stringify(next[key])}, expected ${JSON.stringify(c[key])}` +
        ` ${next.reason ?? next.variants?.[0].reason ?? ''}`)
    }
  }
  if (only.length > 0) console.log(JSON.stringify(next, null, 2))
  // What the case says already is not said twice.
  for (const key of ['type', 'animated', 'answer', 'status', 'text']) delete next[key]
  c.next = next
}
if (only.length === 0) writeFileSync(file, '[\n' + cases.map((c) => JSON.stringify(c)).join(',\n') + '\n]\n')
console.log(`${cases.length} cases, ${wrong} not as expected`)
process.exit(wrong > 0 ? 1 : 0)
