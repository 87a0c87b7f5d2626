// Scores encoded images: how much each looks like the pixels that its encoder was given. Those are made of the photo by
// sharp, exactly as Next.js has it. A line of JSON in is a photo with its images, a line out has their scores.
// Usage: score.mjs FOLDER    (for files that programs exchange, best in memory)
//   in:  {"source": "photo.jpg", "width": 640, "files": ["a.webp", …], "butteraugli": true}
//   out: {"scores": [SSIMULACRA2, …], "norms": [Butteraugli's 3-norm, …]} or {"error": "…"}
// The first line out says which tools these are, after a check that they measure something.
import { execFile } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import * as wasm from 'calc-s2-rust/calc_s2_rust.js' // its package.json names no entry for Node.js
import sharp from 'sharp'

const require = createRequire(import.meta.url)
const folder = process.argv[2]
console.log = () => {} // WebAssembly's way to tell about its buffers; standard output is for answers
sharp.concurrency(1) // there is a process for each CPU
sharp.cache(false)

// Both are the crate ssimulacra2: as WebAssembly, which runs everywhere, and as machine code, which takes half the time.
const module = wasm.initSync(readFileSync(require.resolve('calc-s2-rust/calc_s2_rust_bg.wasm')))
wasm.set_wasm_panic_hook()
function portable(reference, image) {
  for (const [name, { data }] of Object.entries({ reference, image })) {
    const at = wasm.new_buffer(name, data.length)
    new Uint8Array(module.memory.buffer, at, data.length).set(data)
  }
  return wasm.calc_s2('reference', 'image', reference.width, reference.height)
}

let machine
try {
  machine = require('@nrs-binding/ssimulacra2-linux-x64-gnu')
} catch {
  machine = undefined // not built for this machine
}
const native = machine && ((reference, image) => machine.getScore(write('reference', reference), write('image', image)))
const score = native ?? portable

// write makes a file that every program reads.
function write(name, { data, width, height }) {
  const file = join(folder, `${name}-${process.pid}.ppm`)
  writeFileSync(file, Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), data]))
  return file
}

// A maximum would be that of one place: the 3-norm is of the whole image. 0 is identical.
async function butteraugli(reference, image) {
  const { stdout } = await promisify(execFile)('butteraugli_main', [write('reference', reference), write('image', image)])
  const norm = /^3-norm: ([\d.]+)$/m.exec(stdout)
  if (!norm) throw new Error(`butteraugli_main says no 3-norm: ${stdout}`)
  return Number(norm[1])
}

async function pixels(image) {
  const { data, info } = await image.raw().toBuffer({ resolveWithObject: true })
  if (info.channels !== 3) throw new Error(`${info.channels} channels: only pictures in colours, without alpha, are compared`)
  return { data, width: info.width, height: info.height }
}

const scaled = (file, width) => pixels(sharp(readFileSync(file)).rotate().resize(width, undefined, { withoutEnlargement: true }))

async function answer({ source, width, files, butteraugli: second }) {
  const reference = await scaled(source, width)
  const scores = []
  const norms = []
  for (const file of files) {
    const image = await pixels(sharp(readFileSync(file)))
    if (image.width !== reference.width || image.height !== reference.height) throw new Error(`${file}: ${image.width}×${image.height}, not ${reference.width}×${reference.height}`)
    scores.push(await score(reference, image))
    if (second) norms.push(await butteraugli(reference, image))
  }
  return { scores, norms }
}

// check makes sure that equal pictures have the highest score, worse ones lower scores, and that the tools agree.
async function check() {
  const [width, height] = [192, 160]
  const data = Buffer.alloc(width * height * 3, 0)
  for (let i = 0; i < data.length; i++) data[i] = 128 + 90 * Math.sin(i / 97) * Math.cos((i % 3) + i / (width * 41)) + ((i * 7919) % 23)
  const picture = { data, width, height }
  const worse = async (quality) => pixels(sharp(await sharp(data, { raw: { width, height, channels: 3 } }).jpeg({ quality }).toBuffer()))
  const scores = []
  for (const image of [picture, await worse(90), await worse(20)]) {
    const got = await score(picture, image)
    const other = portable(picture, image)
    if (Math.abs(got - other) > 1e-6) throw new Error(`the same picture is ${got} and ${other}`)
    scores.push(got)
  }
  if (scores[0] !== 100 || !(scores[0] > scores[1] && scores[1] > scores[2])) throw new Error(`scores of worse and worse pictures: ${scores}`)
}

function versions() {
  const version = (name) => JSON.parse(readFileSync(join(import.meta.dirname, 'node_modules', name, 'package.json'))).version
  const names = ['calc-s2-rust', ...(native ? ['@nrs-binding/ssimulacra2-linux-x64-gnu'] : []), 'sharp']
  return Object.fromEntries(names.map((name) => [name, version(name)]))
}

const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
await check()
say({ tools: versions() })
for await (const line of createInterface({ input: process.stdin })) {
  try {
    say(await answer(JSON.parse(line)))
  } catch (error) {
    say({ error: error.message })
  }
}
