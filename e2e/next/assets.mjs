// Makes the few files the application itself needs: .assets (statically imported), public/assets (ordinary names)
// and public/odd (names that are hard to put into a url or a header). Deterministic, so nothing is committed.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'

function pixels(width, height, channels, seed) {
  const data = Buffer.alloc(width * height * channels)
  let noise = seed
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      noise = (Math.imul(noise, 1103515245) + 12345) >>> 0
      for (let c = 0; c < channels; c++) {
        const wave = 100 * Math.sin((x * (c + 1)) / 17 + seed) + 100 * Math.cos(y / (9 + c))
        data[(y * width + x) * channels + c] = (128 + wave / 2 + ((noise >>> (8 * c)) & 15)) & 255
      }
    }
  }
  return sharp(data, { raw: { width, height, channels } })
}

const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="40" height="40">${'<circle cx="9" cy="9" r="7"/>'.repeat(60)}</svg>`
const frames = 3
const gif = () =>
  sharp(
    Array.from({ length: frames }, (_, n) => ({ create: { width: 24, height: 16, channels: 3, background: { r: 80 * n, g: 40, b: 200 - 60 * n } } })),
    { join: { animated: true } },
  ).gif({ delay: 100 })

const tile = await pixels(80, 60, 3, 1).png().toBuffer()
const photo = await pixels(400, 300, 3, 2).jpeg({ quality: 88 }).toBuffer()
const moving = await gif().toBuffer()
const small = await pixels(20, 14, 4, 3).png().toBuffer()
const webp = await pixels(90, 70, 3, 4).webp({ quality: 80 }).toBuffer()

for (const dir of ['.assets', 'public/assets', 'public/odd']) {
  rmSync(dir, { recursive: true, force: true })
  mkdirSync(dir, { recursive: true })
}
for (const dir of ['.assets', 'public/assets']) {
  writeFileSync(`${dir}/tile.png`, tile)
  writeFileSync(`${dir}/photo.jpg`, photo)
  writeFileSync(`${dir}/moving.gif`, moving)
  writeFileSync(`${dir}/drawing.svg`, svg)
}
writeFileSync('public/assets/small.png', small)
writeFileSync('public/assets/cached.png', tile)
writeFileSync('public/assets/still.webp', webp)
writeFileSync('public/assets/empty.png', '')
writeFileSync('public/assets/text.png', 'no image at all\n')
writeFileSync('public/assets/page.html', '<!doctype html><p>no image</p>\n')

const odd = [
  'a b.png', 'ünï.png', '名前.png', "quote'.png", 'double".png', 'percent%.png', 'percent%41.png', 'semi;colon.png',
  'plus+.png', 'hash#.png', 'question?.png', 'many.dots.in.name.png', 'noext', 'UPPER.PNG', '.hidden.png',
  'emoji😀.png', 'back\\slash.png', 'comma,.png', 'amp&.png', 'equals=.png', 'paren(1).png', 'brackets[1].png',
  'tilde~.png', 'at@.png', 'dollar$.png', 'bang!.png', 'star*.png', 'pipe|.png', 'caret^.png', 'tick`.png',
  'latin1-é.png', 'tab\t.png', 'trailing .png', 'dot..png', 'curly{}.png', 'lt<gt>.png', 'colon:.png', 'euro€ rate.png',
]
for (const name of odd) writeFileSync(`public/odd/${name}`, small)
writeFileSync('.assets/odd.json', JSON.stringify(odd))
