// Asks the real thing: writes glob.json, url.json, accept.json and query.json next to itself, the answers of Node's
// URL class and of Next.js' own modules to the questions below. The Go tests compare with them.
//
//   node golden.mjs NODE_MODULES [SEED [COUNT]]
//
// NODE_MODULES (or the environment variable of that name) is a directory with `next` in it. SEED and COUNT choose
// other random cases and more of them than the committed ones (1 and 1), for a wider comparison by hand.
import fs from 'node:fs'
import path from 'node:path'
import vm from 'node:vm'
import { createRequire } from 'node:module'

const modules = path.resolve(process.argv[2] ?? process.env.NODE_MODULES ?? 'node_modules')
const require = createRequire(modules + '/')
const { ImageOptimizerCache } = require('next/dist/server/image-optimizer')
const { parseUrl } = require('next/dist/shared/lib/router/utils/parse-url')
const madeBy = { node: process.version, next: require('next/package.json').version }

// A small generator (mulberry32), so that the same seed gives the same cases.
let state = Number(process.argv[3] ?? 1)
const many = Number(process.argv[4] ?? 1)
function random() {
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}
const below = (n) => Math.floor(random() * n)
const pick = (list) => list[below(list.length)]
const join = (list, least, most) => Array.from({ length: least + below(most - least + 1) }, () => pick(list)).join('')

function write(name, head, cases) {
  const lines = cases.map((c) => JSON.stringify(c)).join(',\n')
  const file = path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), name)
  fs.writeFileSync(file, `{"madeBy":${JSON.stringify(madeBy)},${head}"cases":[\n${lines}\n]}\n`)
  console.log(name, cases.length)
}

// ---------------------------------------------------------------------------------------------------------- globs

// Some globs send picomatch into an endless loop, so it runs where it can be stopped.
const sandbox = vm.createContext({ module: { exports: {} }, __dirname: '/', process: { platform: 'linux' } })
vm.runInContext(fs.readFileSync(require.resolve('next/dist/compiled/picomatch'), 'utf8'), sandbox)
function makeRe(glob, dot) {
  sandbox.glob = glob
  sandbox.options = dot ? { dot: true } : {}
  return vm.runInContext('module.exports.makeRe(glob, options)', sandbox, { timeout: 1000 })
}

const globs = String.raw`
* ** *** **** */* **/* **/** **/**/** *.* .* **/.* **/*.* *.png **/*.png **/*.tar.gz *.example.com **.example.com
*.my-site.com *.a_b.co.uk example.com *example.com ex*ple.com e?ample.com ?.example.com ?? ???.com *.*.com **.com
127.0.0.1 localhost [::1] xn--mnchen-3ya.de *-cdn.example.com cdn-*.example.com img[0-9].example.com
{a,b}.example.com {img,cdn}.*.example.com !(www).example.com !*.example.com !!a.com @(a|b).com +(a).com ?(www.)a.com *(a|b).c
www.example.* www.* a.* .example.com ..example.com ./example.com ./* ./** ././a ./.hidden .
/ /* /** /**/ /*/ /a /a/ /a/* /a/** /a/**/ /a/**/b /a/**/b/* /a/**/**/b /**/a /**/*.png /a/*.png /a/*/b /a/*/* /a*/b /a/*b*
/images/** /images/**/*.{png,jpg} /images/*.{png,jpg,webp} /images/{a,b}/** /u/[0-9]*/avatar.png /u/[!a]/x /u/[^a]/x /a/?.png
/account123/v1/** /_next/static/media/** /_next/static/immutable/media/** /a/.b /a/.* /a/..* /.well-known/** /a/./b /a/../b
/a**/b /a/**b /a/b** /a/**b/** /**a/** /a/*** /a/***/b /***/a /**/**/** /**/**/a/**/** /a/**/*/b /a/*/**/b /**/* /**/*/
/a/!(b) /a/!(b)/c /a/!(b|c).png /a/!(*.png) /a/!(*.png).jpg /a/!(b/c) /a/!(b/c)d /a/!(b)* /!(a) /!(a)/** /a/@(b|c)/** /a/+(b|c)
/a/?(b) /a/?(b)c /a/*(b|c)/d /a/+([0-9]) /a/@(b|!(c)) /a/!(!(b)) /a/(b|c) /a/(b|c)/** /a/(b) /a/(?:b|c) /a/(?=b)b /a/(?!b)c
!/a/** !/a !(/a) !!/a/** !!!/a /!a /a!b /a/! /a/!! !./a ! !! !( !() (!a) /(!a)
/{a,b} /{a,b}/** /{a,{b,c}}/d /{a,b}{c,d} /{a} /{} /{,a} /{a,} /{a,,b} /{a..c} /{c..a} /{1..9} /{1..10} /{01..3} /{a..c..b} /{..} /{a..} /{..a}
/{a,b /a,b} /{a /} /{a,b}} /{{a,b} /{a,b}.png /a{b,c}d /{*,a} /{**,a} /{a,*}/b /{a,**}/b /{**/a,b} /{a/b,c} /{a.b,c} /{.a,b} /{a..b,c} /{a,b..c}
/[abc] /[a-c] /[!abc] /[^abc] /[]a] /[^]a] /[a] /[a /a] /[] /[^] /[!] /[a-] /[-a] /[z-a] /[a/b] /[^a/b] /[[] /[[a] /[a[] /[.] /[*] /[a*] /[?]
/[[:alpha:]] /[[:digit:]]* /[[:alpha:][:digit:]] /[^[:alpha:]] /[[:nope:]] /[:alpha:] /[[:alpha:] /[[:punct:]] /[[:space:]] /[[:word:]]+ /[[:xdigit:]-]
/[a]* /[a]** /[ab]c /[a-z]c /*[a] /*[a-z] [a]* [[:alpha:]]* /[a](b) /[a]+ /(a)+ /{a,b}+ /a+ + a+b /a+b +a /(+a) a+(b
\* \? \a \. \/ \\ /\* /\?a /\a /\. /\/a /\\ /a\b /a\*b /a\[b\] /a\{b,c\} /\(a\) /a\;b \! /\!a /a\+b /[\]] /[a\]b] /[\\] /[\a] /a\ \*\* a\*\* \?\? a\??
"a" /"a" /"*" /"a*"b /"a" /"a /a" "" /a"b"c /"[a]" /"a/b" '/a' /'*'
a$ $a /a$b ^a /a^b /^ a|b /a|b a,b /a,b a#b /a#b a%20b /a%20b /a%2Fb a&b a=b a;b a:b a~b a@b /@a @ /a@b /a<b> (?<n>a) /(?<n>a)\1 /(?<=a)b /(?a) /(? /(?) (a (a( a) /a) /)a) /(a))
/a--b a--b a__b a..b a...b /a..b /a...b /.../a .. ... /.. /..a /a. a. a.. .a .a. /.a. .*.* .a* *.a* *a.b *.a.b.c *.* * *-*.png **-a a**b **a a**/b
/ä /ä* ä.com /😀 /日本/** constructorx a
`.split(/\s+/).filter(Boolean)
globs.push(' ', '/a b', '/a b/*', 'a b.com', '/a\tb', '/a\nb', '*\n', '/\0a', '/a\0*', '/' + 'a'.repeat(3000), '/' + '*a'.repeat(12))

const globParts = ['*', '*', '**', '***', '/', '/', '/', '.', '..', 'a', 'b', 'c', 'foo', 'img', '.png', '?', '??', '[a-z]', '[abc]', '[!a]',
  '[^a]', '[[:alpha:]]', '[[:digit:][:upper:]]', '[a', 'a]', '[]a]', '[^]a]', '[a-]', '[z-a]', '{a,b}', '{a..c}', '{1..3}', '{c..a}', '{a', 'b}',
  '{', '}', ',', '(', ')', '(a|b)', '|', '@(a|b)', '!(a)', '!(a|b*)', '?(a)', '+(a|b)', '*(a)', '!(*.png)', '!(a/b)', '@(', '!(', '+', '!', '!!',
  '@', '$', '^', '\\', '\\*', '\\?', '\\\\', '\\/', '\\.', '\\a', '\\[', '\\{', '"', '"a*"', '-', '--', '_', '~', '%20', ':', '&', ' ', '#', '=',
  '<', '\\;', 'ä', '0', '/**', '/**/', '**/', '(?:a)', '(?!a)', '(?=a)', '(?<x>a)', '(?<=a)', '(?', '*.', '.*', '*.*', '/*', '*/', 'com',
  '.example.com', '{png,jpg}', '{a,{b,c}}', '{a..b..c}', '[[', '[[:', '[:alpha:]', '[[:nope:]]', ']]', '\\\\\\', '...', 'a**', '**a', '{,a}',
  '{a,}', '{}', '()', '[]', '+(', '?(', '*(', '\0', '\t', '\n']
for (let i = 0; i < 700 * many; i++) globs.push(join(globParts, 1, pick([4, 8])))
// The simple kind again, so that it is not lost among the strange ones.
const plainParts = ['*', '**', '/', '/', '.', 'a', 'b', 'img', '.png', '{a,b}', '?', '-', 'com', '..', '/**', '/*', '/**/']
for (let i = 0; i < 500 * many; i++) globs.push(join(plainParts, 1, 6))

const hosts = ['example.com', 'www.example.com', 'a.b.example.com', '.example.com', 'my-site.com', 'x.my-site.com', 'localhost', '127.0.0.1', 'a.com', 'b', '1.2']
const paths = ['/', '/a', '/a/', '/a/b', '/a/b/c', '/a/.b', '/.a/b', '/a/b.png', '/images/x/y.png', '/b/c.jpg', '/a/../b', '/a/./', '/..', '//a', '/a//b', '/%20/a']
const subjectParts = ['/', '/', 'a', 'b', 'c', '.', '..', 'foo', 'img', '.png', '.jpg', 'com', '.com', '1', '-', '*', '?', '[', '(', ')', '{', '!',
  '+', '$', '^', '\\', '"', ',', '_', ']', '}', '|', '@', ' ', '%']
// like makes a text that the glob may match.
const like = (glob) => glob
  .replace(/\{([^{},]*),[^{}]*\}/g, '$1').replace(/\*\*?/g, () => pick(['a', 'a/b', '', '.a', 'x.png', '..', 'a/.b/c']))
  .replace(/\?/g, 'z').replace(/\[[^\]]*\]/g, 'a').replace(/[^\x20-\x7e]/g, '')

const globCases = []
for (const glob of globs) {
  for (const dot of [false, true]) {
    let re
    try {
      re = makeRe(glob, dot)
    } catch (err) {
      if (err.code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT' && !/string length/.test(err.message)) throw err
      continue
    }
    const subjects = new Set([pick(dot ? paths : hosts), pick(paths), like(glob), like(glob), join(subjectParts, 1, 6)])
    const yes = [], no = []
    for (const s of subjects) (re.test(s) ? yes : no).push(s)
    globCases.push({ glob, dot, source: re.source, yes, no })
  }
}
write('glob.json', '', globCases)

// ----------------------------------------------------------------------------------------------------------- urls

const schemes = ['http://', 'https://', 'HTTP://', 'http:', 'https:/', 'http:\\\\', 'http:///', 'hTTps://', 'ht\ttp://', 'http:/\\', 'ftp://', 'data:', 'x:', '  https://', 'https:', '', 'file:///', 'blob:http://a/']
const users = ['', '', '', '', '', 'u@', 'u:p@', '@', 'u:@', ':p@', 'a@b@', '%41:%zz@', 'ü:é@', 'u%40:x@', 'a:b:c@', '[@', ':@', '::@', '|^@']
const labels = ['example', 'EXAMPLE', 'münchen', 'straße', 'xn--mnchen-3ya', 'xn--zz', 'a_b', 'a-b', '-a', 'a-', '日本', 'ß', 'ẞ', '%41b', '%C3%A4', '%zz', 'ex%00', 'a b', 'ａｂｃ', '١٢', 'xn--', '\u00ad', 'a\u200db', 'a\u200cb', 'faß', '☃', '💩', '..', '', '1', '256', '0x7f', '077', '1.2', '127', '0xG', '08', '4294967295', '4294967296', '*', 'a|b', 'a<b', 'a^b', '{a}', '`', '"', "'", '!', '$', '&', '(', ')', '+', ',', ';', '=', '~', 'a\tb', 'a%2eb', 'a%2Fb', 'ab--cd', '\u3002', 'a．b', 'אב', 'aא1', '1א', 'שלום', 'K', 'ı']
const tlds = ['com', '.', '', 'com.', '1', '0x1', 'com..', 'test', 'рф', '255', '09', 'localhost', '²']
const addresses = ['[::1]', '[1:0:0:2:0:0:0:3]', '[::ffff:1.2.3.4]', '[1:2:3:4:5:6:7:8]', '[0:0:0:0:0:0:0:0]', '[1::8]', '[1:2:3:4:5:6:7::]', '[::1.2.3]', '[::1%25eth]', '[', '[]', '[g::]', '[1:2]', '[::FFFF:A00:1]', '[fe80::1', '::1]', '[0:1:0:1:0:0:1:0]', '[::1.2.3.4.5]', '[::256.1.1.1]', '[::01.2.3.4]', '[1::2::3]', '[:1]', '[00001::]', '[64:ff9b::8.8.8.8]', '[::1%eth]', '[1.2.3.4]', '[::1]x', '[1:2:3:4:5:6:7:1.2.3.4]', '[1:2:3:4:5:6:1.2.3.4]', '[::%31]', '[1:0:0:0:2:0:0:0]']
const numbers = ['1', '127', '0', '0x7f', '0X7F', '077', '256', '255', '65535', '65536', '16777215', '16777216', '08', '0x', '00', '1e1', '', 'a', '4294967295', '4294967296', '99999999999999999999', '0xffffffffffffffffff', '-1']
const ports = ['', '', '', '', ':80', ':443', ':8080', ':', ':0', ':00080', ':65535', ':65536', ':a', ':-1', ':80a', ': 80', ':99999999999999999999', ':8\t0', ':+1', ':000000000000000000443']
const segments = ['a', 'b.png', '', '.', '..', '%2e', '%2E%2e', '.%2e', '%2e.', '...', '%', '%zz', '%41', 'ä', '日本', '💩', 'a b', 'a\\b', '\\', '"', '<', '>', '`', '{', '}', '|', "'", '*', '[', ']', '?', '#', 'a;b', 'a:b', '@', '~', '\t', '\n', '\r', '\0', '\x7f', '\xa0', 'C:', 'C|', '+', '$', '&', '=', ',', '!', '(', ')', '%00', '%2F', '%5c', '-', '_', '\ufeff', '\ufffd', '\u2028', '.a', '..a', '%2ea', 'a%2e', '%2', '%2f..', '. ']
const queries = ['', '', '', '?', '?a=b', '?ä', '?a b', '?"<>', "?'", '?`{}', '?#', '?%zz', '??', '?a?b', '?\\', '?💩', '?a\tb', '?|', '?/../x', '?\x7f']
const fragments = ['', '', '', '#', '#x', '#a?b', '#ä b', '#`<>"', '##', '#%zz']
const somePath = () => Array.from({ length: below(5) }, () => pick(['/', '/', '/', '/', '\\', '//', '']) + pick(segments) + (random() < 0.2 ? pick(segments) : '')).join('')
function someHost() {
  const r = random()
  if (r < 0.15) return pick(addresses)
  if (r < 0.3) return Array.from({ length: 1 + below(5) }, () => pick(numbers)).join('.') + pick(['', '', '.'])
  return Array.from({ length: 1 + below(3) }, () => pick(labels)).concat(pick(tlds)).join('.')
}
const urls = ['https://example.com/a.png', 'https://example.com', 'http://example.com:80/', 'https://example.com:443/a', 'https://example.com:8443/a?b=c', 'http://localhost:3000/x.jpg',
  'https://EXAMPLE.com/A', 'https://example.com/a/../b', 'https://example.com/a/./b', 'https://example.com/a%2f..%2fb', 'https://example.com/?', 'https://example.com/#', 'https://example.com?x', 'https://example.com#x',
  'https://user:pass@example.com/', 'https://example.com\\a', 'https:example.com', 'https:/example.com', '//example.com/a', 'example.com/a', 'a', ' ', ':', 'http', 'http:', 'http://', 'https://?', 'https://#', 'https:///', 'http://%20/',
  'http://2130706433/', 'http://0x7f.1/', 'http://127.1/', 'http://[::1]:3000/a', 'http://1.1.1.1.1/', 'http://a.1/', 'http://a.0x/', 'http://1.2.3.4./', 'http://1.2.3.4../', 'http://.1/', 'http://./', 'http://../', 'http://a../', 'http://-/', 'http://a.b.-/',
  'data:image/png;base64,AAAA', 'javascript:alert(1)', 'file:///etc/passwd', 'ftp://example.com/', 'ws://example.com/', 'blob:https://example.com/x', 'https://münchen.de/ä?ö#ü', 'https://xn--mnchen-3ya.de/', 'http://example.com/' + 'ä'.repeat(200),
  '/', '/a', '/a?b', '/a#b', '/a?b#c', '/a#b?c', '/a?', '/a#', '/a?#', '/a/../b', '/../a', '/a/..', '/a/.', '/a/b/../..', '/./a', '/.', '/..', '/...', '/.a', '/%2e/a', '/%2E%2E/a', '/a/%2e%2e/b', '/a b', '/ä', '/%zz', '/%', '/a%', '/a?x#y',
  '/\\evil.com', '/\\evil.com/a/b?c', '/\\', '/\\\\', '/\\ a', '/\\a b/', '/\t/evil.com/x', '/\n/', '/\\/\\evil.com\\x', '/\\u:p@h:81/x', '/\\h:99999/', '/\\[::1]/a', '/\\1/x', '/a\\b', '/a\\..\\b', '/a//b', '/a///b/../c', '/a"b', '/a<b>', '/a`b', '/a{b}', "/a'b", '/a|b', '/a[b]', '/a\x7fb', '/a\tb', '/a ', '/a\x1f', '/ ', '/a? ', '/a?\'', '/a?"<>`', '/C:/x', '/C|/../x', '/💩?💩']
for (let i = 0; i < 500 * many; i++) {
  const r = random()
  if (r < 0.3) urls.push('/' + somePath().replace(/^\/\/+/, '/') + pick(queries) + pick(fragments))
  else if (r < 0.35) urls.push(pick(['/\\', '/\\\\', '/\t/', '/ /']) + someHost() + pick(ports) + somePath() + pick(queries))
  else urls.push(pick(random() < 0.7 ? ['http://', 'https://'] : schemes) + (random() < 0.7 ? '' : pick(users)) + someHost() + pick(ports) + somePath() + pick(queries) + pick(fragments) + pick(['', '', '', '', ' ', '\n', '\0', '\x1f']))
}
const urlCases = urls.map((url) => {
  try {
    if (url.startsWith('/')) {
      const u = new URL(url, 'http://n')
      return { url, pathname: u.pathname, search: u.search }
    }
    const u = new URL(url)
    return { url, href: u.toString(), protocol: u.protocol, hostname: u.hostname, port: u.port, pathname: u.pathname, search: u.search }
  } catch {
    return { url, invalid: true }
  }
})
write('url.json', '', urlCases)

// -------------------------------------------------------------------------------------------------- whole requests

const sizes = { deviceSizes: [640, 750, 828, 1080, 1200, 1920, 2048, 3840], imageSizes: [32, 48, 64, 96, 128, 256, 384] }
const ours = [{ pathname: '/_next/static/media/**', search: '' }, { pathname: '/_next/static/immutable/media/**', search: '' }]
const configs = [
  { images: { ...sizes, qualities: [75], formats: ['image/webp'], domains: [], remotePatterns: [], localPatterns: [{ pathname: '**', search: '' }] } },
  { images: { ...sizes, qualities: [1, 50, 75, 100], formats: ['image/avif', 'image/webp'], domains: [],
    remotePatterns: [{ protocol: 'https', hostname: 'example.com' }, { hostname: '*.example.com', pathname: '/img/**' }, { protocol: 'http:', hostname: 'localhost', port: '3000', search: '' },
      { hostname: '**.cdn.test', port: '' }, { hostname: 'exact.test', pathname: '/a.png', search: '?v=1' }, { hostname: '{a,b}.alt.test', pathname: '/**/*.png' }, { hostname: '!(no).neg.test' },
      { hostname: 'xn--mnchen-3ya.de' }, { hostname: 'bad.test', pathname: '/[z-a]' }, { hostname: '127.0.0.1' }],
    localPatterns: [{ pathname: '/pic/**', search: '' }, { pathname: '/any/**' }, { pathname: '/v/*.png', search: '?v=1' }, { search: '?all' }, ...ours] } },
  { images: { ...sizes, formats: ['image/webp', 'image/avif'], domains: ['example.com', 'münchen.de', 'xn--mnchen-3ya.de', '[::1]', 'EXAMPLE.org'] } },
  { basePath: '/docs', images: { deviceSizes: [640], imageSizes: [], qualities: [], formats: [], domains: [], remotePatterns: [{ hostname: '**' }], localPatterns: [] } },
  { basePath: '/docs', images: { ...sizes, domains: [], localPatterns: [{ pathname: '/docs/**' }, ...ours], remotePatterns: [{ hostname: '*' }] } },
]

// The form that next/dist/build writes into images-manifest.json.
const manifestOf = ({ images }) => ({
  ...images,
  remotePatterns: images.remotePatterns?.map((p) => ({ protocol: p.protocol?.replace(/:$/, ''), hostnameRegexp: makeRe(p.hostname, false).source, port: p.port, pathnameRegexp: makeRe(p.pathname ?? '**', true).source, search: p.search })),
  localPatterns: images.localPatterns?.map((p) => ({ pathnameRegexp: makeRe(p.pathname ?? '**', true).source, search: p.search })),
})

function ask(config, query, accept) {
  const headers = accept === null ? {} : { accept }
  let r
  try {
    r = ImageOptimizerCache.validateParams({ headers }, parseUrl('/_next/image?' + query).query, config, false)
  } catch (err) {
    const reason = err instanceof URIError ? 'url_encoding_invalid' : err.code === 'ERR_INVALID_URL' ? 'url_unparsable' : err.isBoom ? 'accept_header_invalid' : String(err)
    return { status: 500, text: 'Internal Server Error', reason }
  }
  if ('errorMessage' in r) return { status: 400, text: r.errorMessage }
  return { href: r.href, absolute: r.isAbsolute, static: r.isStatic, width: r.width, quality: r.quality, format: r.mimeType }
}

const ok = 'w=640&q=75'
const e = encodeURIComponent
const wanted = [
  '', '?', '&', '=', 'url', 'url=', 'url&w=640', 'url=&url=', 'url=/a&url=/b', 'url=/a&url=', 'url[]=/a', 'url%5B%5D=/a&' + ok, 'URL=/a', 'u%72l=/a&' + ok, '%75%72%6c=/a&' + ok, 'u+rl=/a', '?url=/a&' + ok,
  'url=/a&w=640', 'url=/a&w=&q=75', 'url=/a&w=640&q=', 'url=/a&w=640&w=640&q=75', 'url=/a&w=640&q=75&q=75', 'url=/a&w=640&q=75&q=', 'url=/a&q=75', 'url=/a&w&q', 'url=/a&w=0&q=75', 'url=/a&w=00&q=75', 'url=/a&w=-1&q=75',
  'url=/a&w=1.5&q=75', 'url=/a&w=640px&q=75', 'url=/a&w=%20640&q=75', 'url=/a&w=640%0A&q=75', 'url=/a&w=+640&q=75', 'url=/a&w=6e2&q=75', 'url=/a&w=0x280&q=75', 'url=/a&w=%36%34%30&q=%37%35', 'url=/a&w=0640&q=75', 'url=/a&w=%D9%A6%D9%A4%D9%A0&q=75',
  'url=/a&w=641&q=75', 'url=/a&w=8&q=75', 'url=/a&w=8&q=70', 'url=/a&w=1&q=1', 'url=/a&w=9007199254740993&q=75', 'url=/a&w=999999999999999999999&q=75', 'url=/a&w=1000000000000000000000&q=75', 'url=/a&w=9999999999999999999999&q=75', 'url=/a&w=123456789012345678901234567890&q=75',
  'url=/a&w=' + '9'.repeat(400) + '&q=75', 'url=/a&w=4294967936&q=75', 'url=/a&w=18446744073709552256&q=75', 'url=/a&w=640&q=0', 'url=/a&w=640&q=101', 'url=/a&w=640&q=-1', 'url=/a&w=640&q=75.0', 'url=/a&w=640&q=075', 'url=/a&w=640&q=0055', 'url=/a&w=640&q=00', 'url=/a&w=640&q=1',
  'url=/a&w=640&q=100', 'url=/a&w=640&q=55', 'url=/a&w=640&q=9999999999999999999999', 'url=/a&w=640&q=' + '0'.repeat(100) + '75', 'url=/a&w=640&q=x', 'url=/a&w=0&q=', 'url=/a&w=0&q=x', 'url=/a&w=641&q=0', 'url=/a&w=641&q=101', 'url=/a&w=641&q=55',
  'url=/a&w=640&q=75#', 'url=/a#&w=640&q=75', 'url=/a&w=640&q=75?', 'url=/a&w=640;q=75', '&&url=/a&&w=640&&q=75&', 'url=/a&w=640&q=75&dpl=x', 'url=/a&w=640&q=75&__proto__=1&__proto__=2', '__proto__=/x&' + ok, 'constructor=1&url=/a&' + ok, 'toString=1&url=/a&' + ok,
  'url=/a=b&' + ok, 'url==/a&' + ok, 'url=/a%26b&' + ok, 'url=/a+b&' + ok, 'url=/a%2Bb&' + ok, 'url=/a%2520b&' + ok, 'url=/a%25zz&' + ok, 'url=/%25&' + ok, 'url=/a%&' + ok, 'url=/a%z&' + ok, 'url=/%ff&' + ok, 'url=/%25ff&' + ok, 'url=/%25C3%25A4&' + ok, 'url=/%25C3&' + ok, 'url=/%25ED%25A0%2580&' + ok, 'url=/%25C0%2580&' + ok,
  'url=/%C3%A4&' + ok, 'url=/%E4%B8&' + ok, 'url=/%F0%9F%92%A9&' + ok, 'url=/%F0%9F%92&' + ok, 'url=/%EF%BB%BF&' + ok, 'url=%EF%BB%BF/a&' + ok, 'url=/%00&' + ok, 'url=/a%00&' + ok, "url=/'&" + ok, 'url=/"<>`{}|^&' + ok,
  'url=//a&' + ok, 'url=///a&' + ok, 'url=%2F%2Fa&' + ok, 'url=/%2Fa&' + ok, 'url=/%252Fa&' + ok, 'url=/%5Ca&' + ok, 'url=/%5C&' + ok, 'url=/%5C%20a/pic/x&' + ok, 'url=/%5Cevil.com/pic/a.png&' + ok, 'url=/%5Cevil.com/_next/image&' + ok, 'url=/%09/evil.com/pic/a.png&' + ok, 'url=/%0A/&' + ok, 'url=%5C%5Ca&' + ok, 'url=+/a&' + ok,
  'url=/_next/image&' + ok, 'url=/_next/image/&' + ok, 'url=/_next/image/x&' + ok, 'url=/_next/imagex&' + ok, 'url=/_next/image?url=/a&' + ok, 'url=/_next/image%3Furl=/a&' + ok, 'url=/_next/image%23&' + ok, 'url=/x/_next/image&' + ok, 'url=/x_next/image&' + ok, 'url=/%5Fnext/image&' + ok, 'url=/%255Fnext/image&' + ok,
  'url=/_next%252Fimage&' + ok, 'url=/_next/./image&' + ok, 'url=/_next/x/../image&' + ok, 'url=/_next//image&' + ok, 'url=/_next%5Cimage&' + ok, 'url=/docs/_next/image&' + ok, 'url=/a?/_next/image&' + ok, 'url=/_next/image%0A&' + ok, 'url=/_next/image%250A&' + ok, 'url=/_next/imagex/_next/image&' + ok, 'url=https://example.com/_next/image&' + ok,
  'url=/_next/static/media/a.png&' + ok, 'url=/_next/static/immutable/media/a.png&' + ok, 'url=/_next/static/mediax&' + ok, 'url=/docs/_next/static/media/a.png&' + ok, 'url=/docs/_next/static/immutable/media/a.png&' + ok, 'url=/_next/static/media/../../x&' + ok, 'url=/_next/static/media/a.png%3Fdpl%3D1&' + ok, 'url=/_next/static/%2525&' + ok,
  'url=/' + 'a'.repeat(3071) + '&' + ok, 'url=/' + 'a'.repeat(3072) + '&' + ok, 'url=/' + e('ä'.repeat(3071)) + '&' + ok, 'url=/' + e('ä'.repeat(3072)) + '&' + ok, 'url=/' + e('💩'.repeat(1535)) + 'a&' + ok, 'url=/' + e('💩'.repeat(1536)) + '&' + ok, 'url=//' + 'a'.repeat(4000) + '&' + ok, 'url=/_next/image/' + 'a'.repeat(4000) + '&' + ok,
]
const inside = ['/pic/a.png', '/pic/a.png?v=1', '/pic/a.png?', '/pic/a.png#x', '/pic/a.png#x?y', '/pic', '/pic/', '/picture', '/pic/../a', '/x/../pic/a', '/pic/.a', '/pic/a/.b/c', '/any/a?x=1', '/any?', '/v/a.png?v=1', '/v/a.png?v=2', '/v/a.png', '/v/a/b.png?v=1', '/v/.png?v=1', '/x?all', '/x?all#y', '/x?ALL', '/', '/docs', '/docs/a', '/docs/a?b', '/docsx',
  'https://example.com/a', 'https://example.com', 'http://example.com/a', 'https://EXAMPLE.com/a/../b', 'https://example.com:443/', 'https://example.com:8443/', 'https://example.com./', 'https://a.example.com/img/a', 'https://a.b.example.com/img/a?x', 'https://a.example.com/img', 'https://a.example.com/imgs', 'https://a.example.com/img/../x', 'https://.example.com/img/a', 'https://example.org/',
  'http://localhost:3000/x', 'https://localhost:3000/x', 'http://localhost:3000/x?y', 'http://localhost:3000/x?', 'http://localhost/x', 'http://a.cdn.test/x', 'https://a.cdn.test:443/x', 'https://a.cdn.test:444/x', 'https://a.b.cdn.test/', 'https://cdn.test/', 'https://exact.test/a.png?v=1', 'https://exact.test/a.png?v=1#x', 'https://exact.test/a.png?v=2', 'https://exact.test/a.png', 'https://exact.test/b.png?v=1',
  'https://a.alt.test/x/y.png', 'https://b.alt.test/y.png', 'https://c.alt.test/y.png', 'https://a.alt.test/y.jpg', 'https://a.alt.test/.x/y.png', 'https://yes.neg.test/', 'https://no.neg.test/', 'https://a.yes.neg.test/', 'https://münchen.de/ä', 'https://xn--mnchen-3ya.de/', 'https://bad.test/z', 'http://127.0.0.1/', 'http://127.1/', 'http://2130706433:81/', 'http://[::1]/', 'http://[::0:1]/a', 'https://user:pw@example.com/a',
  'https://.x/', 'https://x./', 'ftp://example.com/', 'data:image/png,x', 'https://', 'https:', 'https://exa mple.com/', 'https://exa%6dple.com/', 'HTTPS://example.com', 'https:example.com/a', 'https:/example.com/a', ' https://example.com/a ', 'https://example.com\\a', 'a.png', './a.png', '?', '#', 'https://xn--zz/', 'https://example.com:99999/']
for (const url of inside) wanted.push('url=' + e(url) + '&' + ok)

const queryCases = []
for (let c = 0; c < configs.length; c++) for (const query of wanted) if (c === 0 || query.length < 1000) queryCases.push({ config: c, query, accept: null, ...ask(configs[c], query, null) })
const queryParts = ['url=', 'url=/a', '&', '&', '&', 'w=640', 'w=', 'q=75', 'q=', 'w', 'q', 'url', '=', '%', '%2', '%2F', '%zz', '+', '/', 'https://example.com/', '%C3%A4', '%ff', '#', '?', '640', '75', '0', '%30', '%25', '%5C', '.', '..', '/pic/', 'a', '_next/image']
for (let i = 0; i < 300 * many; i++) {
  const query = random() < 0.4 ? join(queryParts, 1, 10) : `url=${random() < 0.5 ? '/pic/' : ''}${join(queryParts.slice(8), 1, 8)}&w=${pick(['640', '64', '0', 'x', ''])}&q=${pick(['75', '1', '0', 'x', ''])}`
  const c = below(configs.length)
  queryCases.push({ config: c, query, accept: null, ...ask(configs[c], query, null) })
}
write('query.json', `"configs":${JSON.stringify(configs.map((c) => ({ basePath: c.basePath ?? '', images: c.images, manifest: manifestOf(c) })))},\n`, queryCases)

// --------------------------------------------------------------------------------------------------------- accept

const accepts = [null, '', ' ', '*/*', 'image/*', 'image/webp', 'image/avif', 'image/webp,image/avif', 'image/avif,image/webp', 'image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8',
  'image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5', 'image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5', 'text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8',
  'image/webp,*/*', 'image/png,image/*', 'image/webp;q=0', 'image/webp;q=0.0', 'image/webp;q=-0', 'image/webp;q=0,*/*', 'image/avif;q=0,image/*', 'image/avif;q=0, image/webp', 'image/avif;q=0.5,image/webp', 'image/avif;q=0.5,image/webp;q=0.5', 'image/avif;q=0.5,image/webp;q=0.50', 'image/webp;q=0.9,image/avif;q=0.91',
  'image/webp;q=1.5,image/avif', 'image/webp;q=-1,image/avif;q=0.9', 'image/webp;q=0.0001,image/avif;q=0.9', 'image/webp;q=0.001,image/avif;q=0.002', 'image/webp;q=x', 'image/webp;q=', 'image/webp;q', 'image/webp;', 'image/webp;;q=1', 'image/webp;q=0.5;', 'image/webp;q=0.5;x=1', 'image/webp;q=0.5;x', 'image/webp;Q=0.5,image/avif;q=0.4', 'image/webp;q=.5', 'image/webp;q=5e-1,image/avif;q=.4', 'image/webp;q=1e400', 'image/webp;q=1e-400,image/avif;q=.1', 'image/webp;q=0.5abc,image/avif;q=0.6', 'image/webp;q=Infinity', 'image/webp;q=+0.3,image/avif;q=0.4', 'image/webp;q=0x1', 'image/webp;q=1=2', 'image/webp;q="0.5",image/avif;q=0.9',
  'image/webp;q=0.1;q=0.9,image/avif;q=0.5', 'image/webp;x=1', 'image/webp; x=1', 'image/webp;x=1;q=0.5', 'image/webp;q=0.5;x=1', 'image/webp;x=1,image/webp', 'image/webp,image/webp;x=1', 'image/webp;x=1;y=2,image/webp;x=1', 'image/webp;x=1;x=2', 'image/webp;2=a;1=b', 'image/webp;b=1;2=a;01=c;1=b', 'image/webp;__proto__=1', 'image/webp;=1', 'image/webp;x="a"', 'image/webp;x="a,b"', 'image/webp;x="a;b",image/avif;q=0.1', 'image/webp;x="a b"', 'image/webp; x="a b"', 'image/webp;x="', 'image/webp;x="a', 'image/webp;x="a";y="b"', 'image/webp;x="1', 'image/webp;y="z";x="1', 'image/webp;x=""', 'image/webp;x="a"b', 'image/webp;x=a"b"', 'image/webp"', '"image/webp"', 'image/avif;q=0.3,image/webp;x="q=0"',
  'IMAGE/WEBP', 'Image/Webp,image/avif;q=0.1', 'image/WEBP, image/webp', 'image/webp2', 'ximage/webp', 'x image/webp', 'image/webp x', 'image / webp', 'image/ webp', 'image/webp\t;\tq=0.5', 'äimage/webp', 'image/webpä', 'image/avifx,image/*', 'image/avifx,*/*', 'image/*,image/avif;q=0', 'image/*;q=0,image/webp', '*/*;q=0,image/webp', '*/*;q=0', '*/webp', '*/*x', 'x*/*', '*', 'image', 'image/', '/webp', '/image/webp', 'image/webp/x', 'image//webp', 'a/image/webp', 'image/*x', 'image/*/webp', ',', ',,image/webp,,', 'image/webp,', ';', ';q=1', ',;', 'image/webp,;', 'x;y', 'x/y;z', 'text/html;z', 'image/webp,text/html;z', 'bad;z,image/webp', 'image/webp;q=0.5,*/*', 'image/png;q=0.9,image/webp;q=0.8,*/*;q=0.7',
  'image/avif, image/webp, */*', 'image/webp, image/avif', 'audio/*, image/webp', 'zzz/a, aaa/b, image/webp', 'image/zzz, image/aaa, image/webp;q=0.9', 'text/html;level=1', 'text/html;level=1, text/html;q=0.7, */*;q=0.5', 'Ä/b, ä/b', 'image/webp;x=\xa01', 'image/webp;q=\xa00.5,image/avif;q=0.6', 'image/webp;q=\xe40.5,image/avif;q=0.6', 'image/webp;q=\x850.5,image/avif;q=0.6', 'image/avif,image/webp;q=0.999', Array.from({ length: 30 }, (_, i) => `a/${i}`).join() + ',image/webp']
const acceptParts = ['image/webp', 'image/avif', 'image/*', '*/*', 'image/png', 'text/html', 'IMAGE/WEBP', ',', ',', ',', ', ', ';q=0', ';q=0.5', ';q=0.8', ';q=1', ';q=0.9', ';x=1', ';x="a,b"', ';q', ';', '=', '"', 'x', ' ', '*', '/', ';level=2', ';1=1', '\xe4']
for (let i = 0; i < 250 * many; i++) accepts.push(random() < 0.6 ? Array.from({ length: 1 + below(5) }, () => pick(acceptParts.slice(0, 7)) + (random() < 0.5 ? pick(acceptParts.slice(11, 18)) : '')).join(pick([',', ', '])) : join(acceptParts, 1, 9))
const formatLists = [['image/webp'], ['image/avif', 'image/webp'], ['image/webp', 'image/avif'], ['image/avif'], [], ['image/webp', 'image/webp']]
const acceptCases = []
for (const accept of accepts) for (const formats of formatLists) {
  const r = ask({ images: { ...sizes, formats } }, 'url=/a&' + ok, accept)
  acceptCases.push(r.status ? { formats, accept, reason: r.reason } : { formats, accept, format: r.format })
}
write('accept.json', '', acceptCases)
