// Writes decode.json: what Next.js makes of bodies with a Content-Encoding, whole and damaged.
//
//	node decode.mjs path/to/node_modules/next > decode.json
//
// Each row is [name, Content-Encoding, body as base64, outcome, length, SHA-256]; outcome is "ok" (length and hash are
// those of the decoded body), the status of an ImageError, or "thrown" for any other error. maximumResponseBody is 20000.
import { createServer } from 'node:http'
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
import zlib from 'node:zlib'
const require = createRequire(resolve(process.argv[2], 'package.json'))
console.error = () => {}
const { fetchExternalImage } = require('next/dist/server/image-optimizer.js')

let seed = 7
const random = (n) => (seed = (seed * 48271) % 2147483647) % n
const noise = (n) => Buffer.from([...Array(n)].map(() => random(256)))
const cat = (...parts) => Buffer.concat(parts.map((p) => Buffer.from(p)))
const flip = (b, i) => ((b = Buffer.from(b)), (b[i < 0 ? b.length + i : i] ^= 1 << random(8)), b)
const text = Buffer.from('A photograph of a lake, a lake in a photograph. '.repeat(8))
const mixed = cat(text, noise(120), text, noise(60))
const random300 = noise(300)
const gz = zlib.gzipSync, df = zlib.deflateSync, raw = zlib.deflateRawSync, br = zlib.brotliCompressSync
const nest = (n) => [...Array(n)].reduce((b) => gz(b), text)
// A gzip header with the given flag bits and optional fields.
const header = (flags, fields = '') => {
  const h = cat([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3], fields)
  return flags & 2 ? cat(h, [zlib.crc32 ? zlib.crc32(h) & 255 : crc32(h) & 255, (crc32(h) >> 8) & 255]) : h
}
function crc32(b) {
  let c = -1
  for (const x of b) {
    c ^= x
    for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1
  }
  return ~c >>> 0
}
const tail = gz(text).subarray(10)

const cases = [
  ['gzip', 'gzip', gz(text)], ['x-gzip', 'x-gzip', gz(text)], ['upper case', 'GZip', gz(text)], ['spaces', ' gzip\t', gz(text)], ['deflate', 'deflate', df(text)], ['raw deflate', 'deflate', raw(text)], ['br', 'br', br(text)],
  ['identity', 'identity', text], ['unknown', 'zstd', text], ['known after unknown', 'zstd, gzip', gz(text)], ['unknown after known', 'gzip, zstd', gz(text)], ['gzip and identity', 'gzip, identity', gz(text)], ['trailing comma', 'gzip,', gz(text)], ['only commas', ',,', text],
  ['no coding', '', text], ['br in gzip', 'br, gzip', gz(br(text))], ['gzip in br', 'gzip,br', br(gz(text))], ['deflate in gzip', 'deflate, gzip', gz(df(text))], ['raw deflate in deflate', 'deflate,deflate', df(raw(text))],
  ['five', 'gzip,gzip,gzip,gzip,gzip', nest(5)], ['six', 'gzip,gzip,gzip,gzip,gzip,gzip', nest(6)], ['six unknown', 'a,b,c,d,e,f', text], ['five with commas', ',,,,', text], ['six with commas', ',,,,,', text],
  ['all limit', 'gzip', gz(Buffer.alloc(20000))], ['over limit', 'gzip', gz(Buffer.alloc(20001))], ['br limit', 'br', br(Buffer.alloc(20000))], ['br over limit', 'br', br(Buffer.alloc(20001))], ['deflate over limit', 'deflate', df(Buffer.alloc(20001))], ['bomb', 'gzip', gz(Buffer.alloc(3e6))], ['bomb in bomb', 'gzip,gzip', gz(gz(Buffer.alloc(3e6)))], ['br bomb', 'br', br(Buffer.alloc(3e7))], ['bomb to nothing', 'gzip,deflate', df(gz(Buffer.alloc(0)))],
  ['gzip of nothing', 'gzip', gz('')], ['deflate of nothing', 'deflate', df('')], ['br of nothing', 'br', br('')],
  ...['gzip', 'deflate', 'br'].flatMap((c) => [[c + ' empty', c, ''], [c + ' on plain text', c, text], [c + ' on png', c, cat([0x89], 'PNG\r\n\x1a\n')], [c + ' on one byte', c, 'x'], [c + ' on two bytes', c, 'xy']]),
  ['two members', 'gzip', cat(gz(text), gz(random300))], ['three members, one empty', 'gzip', cat(gz(text), gz(''), gz(text))], ['second member cut in its header', 'gzip', cat(gz(text), gz(text).subarray(0, 6))], ['second member cut', 'gzip', cat(gz(text), gz(random300).subarray(0, 200))], ['second member broken', 'gzip', cat(gz(text), flip(gz(text), 0))],
  ['gzip then zeros', 'gzip', cat(gz(text), Buffer.alloc(9))], ['gzip then zeros and more', 'gzip', cat(gz(text), Buffer.alloc(9), gz(text))], ['gzip then zero and garbage', 'gzip', cat(gz(text), '\0garbage')], ['gzip then garbage', 'gzip', cat(gz(text), 'garbage')], ['gzip then one byte', 'gzip', cat(gz(text), 'g')], ['gzip then 1f', 'gzip', cat(gz(text), [0x1f])], ['gzip then 1f 8b', 'gzip', cat(gz(text), [0x1f, 0x8b])], ['gzip then 1f 00', 'gzip', cat(gz(text), [0x1f, 0])],
  ['deflate then garbage', 'deflate', cat(df(text), 'garbage')], ['deflate then deflate', 'deflate', cat(df(text), df(text))], ['raw deflate then garbage', 'deflate', cat(raw(text), 'garbage')], ['br then garbage', 'br', cat(br(text), 'garbage')], ['br then br', 'br', cat(br(text), br(text))], ['gzip in gzip, outer then zeros', 'gzip,gzip', cat(gz(gz(text)), [0, 0])], ['gzip in gzip, outer then garbage', 'gzip,gzip', cat(gz(gz(text)), 'garbage')], ['gzip in br, br then garbage', 'gzip,br', cat(br(gz(text)), 'garbage')],
  ['wrong checksum', 'gzip', flip(gz(text), -6)], ['wrong length', 'gzip', flip(gz(text), -2)], ['no trailer', 'gzip', gz(text).subarray(0, -8)], ['half a checksum', 'gzip', gz(text).subarray(0, -6)], ['no length', 'gzip', gz(text).subarray(0, -4)], ['wrong checksum, no length', 'gzip', flip(gz(text), -6).subarray(0, -4)], ['wrong adler', 'deflate', flip(df(text), -1)], ['no adler', 'deflate', df(text).subarray(0, -4)], ['half an adler', 'deflate', df(text).subarray(0, -2)],
  ['dictionary', 'deflate', df(text, { dictionary: Buffer.from('photograph') })], ['small window', 'deflate', df(text, { windowBits: 9 })], ['window too large', 'deflate', cat([0x88, 0x1c], raw(text))], ['zlib header check', 'deflate', cat([0x78, 0x9d], raw(text))],
  ['file name', 'gzip', cat(header(8, 'a.png\0'), tail)], ['comment', 'gzip', cat(header(16, 'comment\0'), tail)], ['extra field', 'gzip', cat(header(4, '\x03\0abc'), tail)], ['all fields', 'gzip', cat(header(28, '\x03\0abcname\0comment\0'), tail)], ['text flag', 'gzip', cat(header(1), tail)], ['header checksum', 'gzip', cat(header(10, 'name\0'), tail)], ['wrong header checksum', 'gzip', cat(flip(header(10, 'name\0'), -1), tail)], ['reserved flag', 'gzip', cat(header(0x20), tail)], ['reserved flag cut', 'gzip', header(0x40).subarray(0, 4)], ['other method', 'gzip', cat([0x1f, 0x8b, 7, 0], tail)], ['other method cut', 'gzip', [0x1f, 0x8b, 7]], ['endless name', 'gzip', cat(header(8, 'name'))], ['cut in extra', 'gzip', header(4, '\xff\0abc')],
]
// Cut at every fourth byte, and one bit flipped in many places.
for (const [coding, make] of [['gzip', gz], ['deflate', df], ['deflate', raw], ['br', br]]) {
  const name = make === raw ? 'raw' : coding
  const whole = make(mixed), stored = make(random300)
  for (let i = 1; i < whole.length; i += 4) cases.push([`${name} cut at ${i}`, coding, whole.subarray(0, i)])
  for (let i = 2; i < stored.length; i += 23) cases.push([`${name} noise cut at ${i}`, coding, stored.subarray(0, i)])
  for (let i = 0; i < 40; i++) cases.push([`${name} flip ${i}`, coding, flip(whole, i < 12 ? i : random(whole.length))])
}
const fixed = zlib.deflateRawSync(text, { strategy: zlib.constants.Z_FIXED })
for (let i = 1; i < fixed.length; i += 3) cases.push([`fixed cut at ${i}`, 'deflate', fixed.subarray(0, i)])

const bodies = cases.map(([, , body]) => Buffer.from(body))
const server = createServer((req, res) => {
  const i = +req.url.slice(1)
  if (cases[i][1] !== '') res.setHeader('content-encoding', cases[i][1])
  res.end(bodies[i])
})
await new Promise((done) => server.listen(0, '127.0.0.1', done))
const rows = []
for (const [i, [name, encoding]] of cases.entries()) {
  let outcome, length = 0, hash = ''
  try {
    const { buffer } = await fetchExternalImage(`http://127.0.0.1:${server.address().port}/${i}`, true, 20000, 0)
    outcome = 'ok'
    length = buffer.length
    hash = createHash('sha256').update(buffer).digest('hex')
  } catch (err) {
    outcome = err.constructor.name === 'ImageError' ? String(err.statusCode) : 'thrown'
  }
  rows.push([name, encoding, bodies[i].toString('base64'), outcome, length, hash])
}
console.log('[\n' + rows.map((row) => JSON.stringify(row)).join(',\n') + '\n]')
process.exit(0)
