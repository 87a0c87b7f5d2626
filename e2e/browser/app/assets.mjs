// Paints the application's pictures: .assets (imported by pages), public, and .remote (served by the test as another
// host). Landscapes drawn from a seed, so that pictures differ and nothing has to be committed.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'

// hills draws a landscape of its own for every seed.
function hills(seed, width, height) {
  let state = (seed * 2654435761) >>> 0
  const random = () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32
  const hue = Math.floor(random() * 360)
  const sun = { x: width * (0.15 + 0.7 * random()), y: height * (0.15 + 0.25 * random()), r: height * (0.05 + 0.06 * random()) }
  const ridges = [0, 1, 2, 3].map((n) => {
    const base = height * (0.42 + 0.14 * n)
    const waves = [1, 2, 3, 5].map((k) => ({ k, phase: random() * 6.28, high: (height * 0.09 * (0.4 + random())) / k }))
    const points = []
    for (let x = 0; x <= width; x += width / 80) {
      const y = waves.reduce((sum, w) => sum + w.high * Math.sin((x / width) * 6.28 * w.k + w.phase), base)
      points.push(`${x.toFixed(1)},${y.toFixed(1)}`)
    }
    return `<polygon points="0,${height} ${points.join(' ')} ${width},${height}" fill="hsl(${(hue + 200 - 18 * n) % 360},${30 + 8 * n}%,${62 - 14 * n}%)"/>`
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">
<linearGradient id="sky" x2="0" y2="1"><stop stop-color="hsl(${hue},60%,45%)"/><stop offset="1" stop-color="hsl(${(hue + 50) % 360},80%,82%)"/></linearGradient>
<rect width="${width}" height="${height}" fill="url(#sky)"/>
<circle cx="${sun.x}" cy="${sun.y}" r="${sun.r}" fill="hsl(${(hue + 40) % 360},90%,92%)"/>${ridges.join('')}</svg>`
}

// grained is a landscape with grain, which no codec can guess.
async function grained(seed, width, height) {
  const data = await sharp(Buffer.from(hills(seed, width, height))).removeAlpha().raw().toBuffer()
  let state = seed
  for (let i = 0; i < data.length; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    data[i] = Math.min(255, data[i] + (state >>> 27) % 12)
  }
  return sharp(data, { raw: { width, height, channels: 3 } })
}
const png = async (seed, width, height) => (await grained(seed, width, height)).png().toBuffer()
const jpeg = async (seed, width, height) => (await grained(seed, width, height)).jpeg({ quality: 88 }).toBuffer()

const drawing = `<svg xmlns="http://www.w3.org/2000/svg" width="240" height="160" viewBox="0 0 240 160">
<rect width="240" height="160" rx="20" fill="#264653"/><circle cx="80" cy="80" r="50" fill="#e9c46a"/><circle cx="160" cy="80" r="50" fill="#e76f51" opacity=".8"/></svg>`
const badge = `<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400">
<circle cx="200" cy="200" r="190" fill="#2a9d8f" fill-opacity=".6"/><polygon points="200,40 245,155 368,155 268,228 306,346 200,274 94,346 132,228 32,155 155,155" fill="#e9c46a"/></svg>`

const moving = await sharp(
  Buffer.concat(await Promise.all([1, 2, 3, 4].map(async (n) => (await grained(70 + n, 200, 150)).raw().toBuffer()))),
  { raw: { width: 200, height: 600, channels: 3, pageHeight: 150 } },
).gif({ delay: [200, 200, 200, 200], loop: 0 }).toBuffer()

for (const dir of ['.assets', '.remote', 'public']) {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir)
}
mkdirSync('public/photos')
writeFileSync('.assets/hero.jpg', await jpeg(1, 1600, 700))
writeFileSync('.assets/lake.png', await png(2, 700, 500))
writeFileSync('.assets/dusk.webp', await (await grained(3, 700, 500)).webp({ quality: 85 }).toBuffer())
writeFileSync('.assets/dawn.avif', await (await grained(4, 700, 500)).avif({ quality: 70 }).toBuffer())
writeFileSync('.assets/moving.gif', moving)
writeFileSync('.assets/drawing.svg', drawing)
writeFileSync('public/moving.gif', moving)
writeFileSync('public/drawing.svg', drawing)
writeFileSync('public/badge.png', await sharp(Buffer.from(badge)).png().toBuffer())
writeFileSync('public/raw.jpg', await jpeg(5, 400, 300))
writeFileSync('public/icon.png', await sharp(Buffer.from(badge)).resize(32).png().toBuffer())
writeFileSync('public/wide.jpg', await jpeg(6, 1400, 600))
writeFileSync('public/tall.jpg', await jpeg(7, 600, 800))
for (let n = 1; n <= 30; n++) writeFileSync(`public/photos/${n}.jpg`, await jpeg(100 + n, 640, 480))
writeFileSync('.remote/far.jpg', await jpeg(8, 1000, 700))
writeFileSync('.remote/island.png', await png(9, 600, 400))
writeFileSync('.remote/moving.gif', moving)
