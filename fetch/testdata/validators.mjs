// Writes validators.json: the ETag and Last-Modified that Next.js sends for static files of some sizes and times.
//
//	node validators.mjs path/to/node_modules/next > validators.json
//
// Each row is [size, modification time as "seconds.nanoseconds", ETag, Last-Modified].
import { execFileSync } from 'node:child_process'
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
const require = createRequire(resolve(process.argv[2], 'package.json'))
const { serveStatic } = require('next/dist/server/serve-static.js')

const root = mkdtempSync(join(tmpdir(), 'validators-'))
const server = createServer((req, res) => serveStatic(req, res, req.url, { root, etag: true }))
await new Promise((done) => server.listen(0, '127.0.0.1', done))
const times = ['0.000000000', '0.999499999', '0.999500000', '0.999999999', '1.000499999', '1.000500000', '1.000500001', '1000000000.123456789', '1795289744.523665133',
  '1795289744.999499999', '1795289744.999500000', '1795289744.999999999', '2147483647.5', '4102444800.000500000']
let seed = 1
const random = () => (seed = (seed * 48271) % 2147483647)
for (let i = 0; i < 120; i++) times.push(`${1600000000 + (random() % 400000000)}.${String(random() % 1000000000).padStart(9, '0')}`)
const rows = []
for (const [i, time] of times.entries()) {
  const size = i < 4 ? i + 1 : 1 + (random() % 70000)
  const file = join(root, `f${i}.png`)
  writeFileSync(file, Buffer.alloc(size))
  execFileSync('touch', ['-d', '@' + time, file])
  const { headers } = await fetch(`http://127.0.0.1:${server.address().port}/f${i}.png`)
  rows.push([size, time, headers.get('etag'), headers.get('last-modified')])
}
server.close()
server.closeAllConnections()
rmSync(root, { recursive: true })
console.log('[\n' + rows.map((row) => JSON.stringify(row)).join(',\n') + '\n]')
