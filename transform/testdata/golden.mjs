// Writes golden.json: what the detectors inside the real Next.js say of a few hundred byte strings.
// Usage: node golden.mjs NODE_MODULES   (a folder that holds next)
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const modules = resolve(process.argv[2])
const require = createRequire(join(modules, 'x.js'))
const { detectContentType } = require('next/dist/server/image-optimizer/detect-content-type.js')
const isAnimated = require('next/dist/compiled/is-animated')

const b = (...parts) => Buffer.concat(parts.map((p) => (typeof p === 'string' ? Buffer.from(p, 'latin1') : Buffer.from(p))))
const u32 = (n) => { const x = Buffer.alloc(4); x.writeUInt32BE(n >>> 0); return x }
const box = (type, ...body) => { const c = b(...body); return b(u32(8 + c.length), type, c) }
const zeros = (n) => Buffer.alloc(n)

const seeds = [
  b([0xff, 0xd8, 0xff, 0xe0], zeros(20)), b([0xff, 0xd8, 0xfe]), b([0xff, 0xd8]), b([0xff]), b([0xff, 0x0a]), b([0xff, 0x4f, 0xff, 0x51]),
  b('\x89PNG\r\n\x1a\n', zeros(4), 'IHDR'), b('\x89PNG\r\n\x1a'), b('\x89PNG'), b('xPNG\r\n\x1a\n', zeros(3), 'IHDR'), b('xPNG\r\n\x1a\n\0\0\0\rIHDR'),
  b('xPNG\r\n\x1a\n\0\0\0\rXXXX'), b('xPNG\r\n\x1a\n\0\0\0\rCgBI', zeros(12), 'IHDR'), b('xPNG\r\n\x1a\n\0\0\0\rCgBI', zeros(12), 'IDAT'), b('xPNG\r\n\x1a\n'),
  b('GIF8'), b('GIF89a', zeros(7)), b('GIF87a'), b('GIF7'), b('GIF'),
  b('RIFF', zeros(4), 'WEBP'), b('RIFF', zeros(4), 'WEBPVP8 '), b('RIFF', zeros(4), 'WAVE'), b('RIFx', zeros(4), 'WEBPVP8'), b('RIFF1234WEBPVP8X', zeros(30), 'ANIM'),
  b('<?xml version="1.0"?><svg/>'), b('<svg/>'), b('<svg'), b(' <svg width="1">'), b('<!--x--><svg xmlns="a">'), b('<!--x--><svg\n>'), b('<!--x--><svg>'), b('<!doctype html><svg a=">" b=\'>\'>'),
  b('<!--x--><svg a="'), b('\u00ef\u00bb\u00bf<svg a="b">'), Buffer.from('x<svg\u00a0a="b">', 'utf8'), Buffer.from('x<svg\u2003é>', 'utf8'), b('x<svg\xff>'), b(' '.repeat(990), '<svg a>'), b(' '.repeat(993), '<svg a>'), b(' '.repeat(1000), '<svg a>'),
  box('ftyp', 'avif', zeros(4)), box('ftyp', 'avif'), b(u32(15), 'ftypavif', zeros(8)), b(u32(16), 'ftypavif'), b(u32(16), 'ftypavif', zeros(4)), b(u32(999), 'ftypavif', zeros(4)), b('<!--ftypavif-->'),
  box('ftyp', 'heic', zeros(4)), box('ftyp', 'mif1', zeros(4)), box('ftyp', 'heix', zeros(4)), box('ftyp', 'msf1', zeros(4)), box('ftyp', 'isom', zeros(4)), box('ftyp', 'avis', zeros(4)),
  b([0, 0, 1, 0]), b([0, 0, 1, 0, 1, 0]), b([0, 0, 2, 0, 1, 0, 0, 0]), b([0, 0, 2, 0, 0, 0, 0, 0]), b([0, 0, 2, 0]), b([0, 0, 3, 0, 0, 0]), zeros(3), zeros(6), zeros(20),
  b('icns'), b('icn'), b('II*\0'), b('MM\0*'), b('MM\0+'), b('II+\0'), b('BM'), b('B'), b('DDS '), b('8BPS'), b('8BP'), b('P6 1 1'), b('PF'), b('P8'), b('P'),
  b([0, 0, 0, 12], 'JXL \r\n\x87\n'), b([0, 0, 0, 12], 'JXL \r\n\x87\n', box('ftyp', 'jxl ')), b([0, 0, 0, 13], 'JXL \r\n\x87\n\0', box('ftyp', 'jxl ')), b([0, 0, 0, 13], 'JXL \r\n\x87\n\0', box('ftyp', 'jxx ')), b([0, 0, 0, 12], 'jP  \r\n\x87\n'), b([0, 0, 0, 13], 'jP  \r\n\x87\n\0', box('ftyp', 'jp2 ')), b([0, 0, 0, 13], 'jP  \r\n\x87\n\0', box('ftyp', 'jpx ')),
  b([0, 0, 0, 0], 'JXL ', box('ftyp', 'jxl ')), b([0, 0, 0, 13], 'jP  \r\n\x87\n\0', box('free', zeros(2000)), box('ftyp', 'jp2 ')),
  b('%PDF-1.4'), b('%PDF'), b('\xabKTX 11\xbb'), b('\xabKTX 20\xbb'), b('<html><body></body></html>'), b('{"a":1}'), b('hello'), b('a'), b(''),
]

// Animation: the shapes that matter to the check, and what breaks it.
const gifHead = (flags) => b('GIF89a', [1, 0, 1, 0, flags, 0, 0], zeros(flags & 128 ? 3 * 2 ** ((flags & 7) + 1) : 0))
const gifFrame = (flags = 0) => b([0x2c, 0, 0, 0, 0, 1, 0, 1, 0, flags], zeros(flags & 128 ? 3 * 2 ** ((flags & 7) + 1) : 0), [2, 2, 0x44, 1, 0])
const gifExt = b([0x21, 0xf9, 4, 0, 1, 0, 0, 0])
const netscape = b([0x21, 0xff, 11], 'NETSCAPE2.0', [3, 1, 0, 0, 0])
const chunk = (type, ...body) => { const c = b(...body); return b(u32(c.length), type, c, zeros(4)) }
const png = (...chunks) => b('\x89PNG\r\n\x1a\n', ...chunks)
const IHDR = chunk('IHDR', zeros(13)), acTL = chunk('acTL', zeros(8)), fcTL = chunk('fcTL', zeros(26)), IDAT = chunk('IDAT', zeros(9)), fdAT = chunk('fdAT', zeros(9)), IEND = chunk('IEND')
const animations = [
  b(gifHead(0), gifFrame(), [0x3b]), b(gifHead(0), gifFrame(), gifFrame(), [0x3b]), b(gifHead(0x80), netscape, gifExt, gifFrame(0x81), gifExt, gifFrame(0x87), [0x3b]),
  b(gifHead(0x87), gifExt, gifFrame(), [0x3b], gifFrame()), b(gifHead(0), gifFrame(), [0x99], gifFrame()), b(gifHead(0), gifFrame(), gifFrame().subarray(0, 1)), b(gifHead(0), gifFrame(), gifFrame().subarray(0, 5)), b(gifHead(0xf7), gifFrame()), b('GIF89a'),
  png(IHDR, acTL, fcTL, IDAT, fcTL, fdAT, IEND), png(IHDR, acTL, IDAT, fcTL, fdAT, IEND), png(IHDR, acTL, fcTL, IDAT, IDAT, fcTL, fdAT, fdAT, IEND), png(IHDR, IDAT, acTL, fcTL, fdAT), png(IHDR, fcTL, IDAT), png(IHDR, acTL, fcTL, IDAT, fdAT), png(IHDR, acTL, fcTL, IDAT, IEND), png(IHDR, acTL, fcTL, fdAT), png(IHDR, acTL, fcTL, IDAT, chunk('tEXt', 'a'), fdAT),
  png(IHDR, IDAT, IEND, 'x'), png(IHDR, IDAT, IEND, 'xyz'), png(IHDR, IDAT, IEND, 'wxyz'), png(IHDR, IDAT, IEND, 'wxyzacT'), png(IHDR, acTL, 'ab'), png(b(u32(0xffffffff), 'IDAT')), png(),
  b('RIFF', zeros(4), 'WEBPVP8X', zeros(10), 'ANIM'), b('RIFF', zeros(4), 'WEBPVP8X', zeros(10), 'ANI'), b('RIFF', zeros(4), 'WEBPANIMVP8 '), b('RIFFANIMWEBP'),
]

const cases = [...seeds, ...animations]
for (const s of [...seeds, ...animations]) {
  for (const cut of [1, 3, 5, 9, 12]) if (s.length > cut) cases.push(s.subarray(0, s.length - cut))
  if (s.length > 2) { const f = Buffer.from(s); f[0] ^= 1; cases.push(f); const g = Buffer.from(s); g[s.length >> 1] ^= 0x20; cases.push(g) }
}

const golden = []
for (const c of cases) {
  const g = { bytes: c.toString('base64') }
  try { g.type = (await detectContentType(c)) ?? '' } catch { g.typeThrows = true }
  try { g.animated = c.length > 0 && isAnimated(c) } catch { g.animatedThrows = true }
  golden.push(g)
}
writeFileSync(new URL('golden.json', import.meta.url), '[\n' + golden.map((g) => JSON.stringify(g)).join(',\n') + '\n]\n')
console.log(golden.length, 'cases')
