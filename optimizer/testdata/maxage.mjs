// Writes maxage.json: what Next.js reads from Cache-Control headers.
// Usage: node maxage.mjs NODE_MODULES   (a folder that holds next)
import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'

const require = createRequire(join(resolve(process.argv[2]), 'x.js'))
const { getMaxAge } = require('next/dist/server/image-optimizer/get-max-age.js')
const values = ['60', '0', '-5', '+7', '"90"', '"', '""', '', ' 8', '9 ', '1e3', '12abc', 'abc', '3.9', '0x10', '99999999', '31536000000', '\t5', '\u00a06', '７']
const headers = ['', 'no-store', 'public', 'max-age', 's-maxage', ',', '=', '=5', 'max-age==5', 'max-age=5=6', 'MAX-AGE=5', 'Max-Age=5, S-MaxAge=7', 'max-age=1,max-age=2', 's-maxage=,max-age=4', 's-maxage,max-age=4', 's-maxage="",max-age=4', 's-maxage=0,max-age=4', 's-maxage=x,max-age=4', 'public, max-age=31536000, immutable', ' max-age=5', 'max-age =5', 'max-age= 5', 'x-max-age=5', 'max-age=5;foo', 'max-age="5, x"', '\ufeffmax-age=5', '\u0085max-age=5', '\u2003max-age=5']
for (const v of values) headers.push(`max-age=${v}`, `s-maxage=${v}`, `public, s-maxage=${v}, max-age=11`, `max-age=${v}, s-maxage=12`)
const golden = headers.map((header) => ({ header, seconds: getMaxAge(header) }))
writeFileSync(new URL('maxage.json', import.meta.url), '[\n' + golden.map((g) => JSON.stringify(g)).join(',\n') + '\n]\n')
console.log(golden.length, 'headers')
