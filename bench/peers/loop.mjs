// The floor in JavaScript: exactly the pipeline of Next.js' image optimizer with sharp, in a bare loop, nothing around
// it, as many processes as asked for, each with one image at a time.
// Usage: loop.mjs FILE WIDTH QUALITY FORMAT IMAGES PROCESSES
// Prints one line of JSON: wall and processor seconds, and peak resident memory, of all processes together.
import { fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import sharp from 'sharp'

const [file, width, quality, format, images, processes] = process.argv.slice(2)
const encoders = {
  avif: (image) => image.avif({ quality: Number(quality), effort: 3 }),
  webp: (image) => image.webp({ quality: Number(quality) }),
  png: (image) => image.png({ quality: Number(quality) }),
  jpeg: (image) => image.jpeg({ quality: Number(quality), mozjpeg: true }),
}

async function work() {
  const source = readFileSync(file)
  // Next.js halves what sharp takes for itself; where that is one thread, as with glibc's allocator, it stays one.
  if (sharp.concurrency() > 1) sharp.concurrency(Math.max(Math.floor(sharp.concurrency() / 2), 1))
  const make = () => {
    const image = sharp(source, { limitInputPixels: 268402689 }).timeout({ seconds: 7 }).rotate()
    return encoders[format](image.resize(Number(width), undefined, { withoutEnlargement: true })).toBuffer()
  }
  const first = await make() // what is loaded with the first image is not measured
  process.send({ sum: createHash('sha256').update(first).digest('hex'), bytes: first.length })
  process.on('message', async () => {
    const before = process.cpuUsage()
    for (let i = 0; i < Math.floor(images / processes); i++) await make()
    const { user, system } = process.cpuUsage(before)
    process.send({ cpu: (user + system) / 1e6, rss: process.resourceUsage().maxRSS * 1024 })
    process.disconnect()
  })
}

async function main() {
  const workers = Array.from({ length: processes }, () => fork(import.meta.filename, process.argv.slice(2), { env: { ...process.env, LOOP_WORKER: '1' } }))
  const next = (worker) =>
    new Promise((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('exit', (code) => code && reject(new Error(`a worker ended with ${code}`)))
    })
  const [first] = await Promise.all(workers.map(next))
  const began = performance.now()
  for (const worker of workers) worker.send('go')
  const done = await Promise.all(workers.map(next))
  const wall = (performance.now() - began) / 1000
  const sum = (key) => done.reduce((n, d) => n + d[key], 0)
  console.log(JSON.stringify({ images: Math.floor(images / processes) * processes, wall, cpu: sum('cpu'), rss: sum('rss'), bytes: first.bytes, sha256: first.sum }))
}

await (process.env.LOOP_WORKER ? work() : main())
