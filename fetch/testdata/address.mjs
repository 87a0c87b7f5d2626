// Writes address.json: which addresses Next.js refuses to fetch from (isPrivateIp, by ipaddr.js).
//
//	node address.mjs path/to/node_modules/next > address.json
//
// The addresses are the edges of every special range of IPv4 and IPv6, those just outside, IPv4-mapped ones, and
// random ones from a fixed seed. Each row is [address, refused].
import { createRequire } from 'node:module'
import { resolve } from 'node:path'
const require = createRequire(resolve(process.argv[2], 'package.json'))
const { isPrivateIp } = require('next/dist/server/is-private-ip.js')

const ranges4 = ['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24',
  '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
  '224.0.0.0/4', '240.0.0.0/4', '255.255.255.255/32']
const ranges6 = ['::/128', '::1/128', '::/96', '::ffff:0:0:0/96', '64:ff9b::/96', '64:ff9b:1::/48', '100::/64', '100:0:0:1::/64', '2001::/32', '2001::/23', '2001:2::/48', '2001:3::/32',
  '2001:4:112::/48', '2001:10::/28', '2001:20::/28', '2001:30::/28', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20', '5f00::/16', 'fc00::/7',
  'fe80::/10', 'fec0::/10', 'ff00::/8', '2000::/3', '4000::/3']

const parse4 = (s) => s.split('.').reduce((n, part) => (n << 8n) | BigInt(part), 0n)
const parse6 = (s) => {
  const [head, tail] = s.split('::')
  const words = (part) => (part ? part.split(':') : [])
  const h = words(head), t = words(tail ?? '')
  const all = tail === undefined ? h : [...h, ...Array(8 - h.length - t.length).fill('0'), ...t]
  return all.reduce((n, word) => (n << 16n) | BigInt('0x' + word), 0n)
}
const print4 = (n) => [24n, 16n, 8n, 0n].map((shift) => (n >> shift) & 255n).join('.')
const print6 = (n) => [...Array(8).keys()].map((i) => ((n >> BigInt(112 - 16 * i)) & 0xffffn).toString(16)).join(':')
const edges = (cidr, parse, bits) => {
  const [addr, length] = cidr.split('/')
  const size = 1n << BigInt(bits - length), first = parse(addr), last = first + size - 1n, max = (1n << BigInt(bits)) - 1n
  return [first - 1n, first, first + 1n, first + size / 2n, last - 1n, last, last + 1n].filter((n) => n >= 0n && n <= max)
}
let seed = 1
const random = () => (seed = (seed * 48271) % 2147483647) & 0xffff
const all = new Set()
for (const range of ranges4)
  for (const n of edges(range, parse4, 32)) all.add(print4(n)).add('::ffff:' + print4(n))
for (const range of ranges6) for (const n of edges(range, parse6, 128)) all.add(print6(n))
for (let i = 0; i < 400; i++) all.add(print4(BigInt(random()) << 16n | BigInt(random())))
for (let i = 0; i < 400; i++) {
  const word = () => BigInt(random())
  all.add(print6([...Array(7)].reduce((n) => (n << 16n) | word(), i % 2 ? 0x2000n + word() % 0x2000n : word())))
}
for (const known of ['8.8.8.8', '1.1.1.1', '93.184.216.34', '2606:2800:220:1:248:1893:25c8:1946', '2a00:1450:4001:80b::200e', '::ffff:8.8.8.8', '::127.0.0.1', '::8.8.8.8', '64:ff9b::127.0.0.1', '2002:7f00:1::']) all.add(known)
console.log('[\n' + [...all].map((addr) => JSON.stringify([addr, isPrivateIp(addr)])).join(',\n') + '\n]')
