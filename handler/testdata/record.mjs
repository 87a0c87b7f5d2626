// Records what a real `next start` answers on the wire, for wire.json:
//
//   node record.mjs DIR     DIR holds a real copy (no link) of node_modules with next, react, react-dom and sharp
//
// It writes a small application into DIR, builds it once per configuration, and sends raw requests to each. Images
// and an origin are its own. Dates and connection headers are left out of what is written.
import { execFileSync, spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import url from 'node:url';

const root = path.resolve(process.argv[2]);
const require = createRequire(path.join(root, 'noop.js'));
const sharp = require('sharp');
const here = path.dirname(url.fileURLToPath(import.meta.url));
const file = (name, data) => { fs.mkdirSync(path.dirname(path.join(root, name)), { recursive: true }); fs.writeFileSync(path.join(root, name), data); };

// --- the application ---
const photo = await sharp({ create: { width: 300, height: 200, channels: 3, background: { r: 200, g: 30, b: 60 } } }).jpeg().toBuffer();
file('package.json', '{"private":true}');
file('app/layout.js', 'export default function L({ children }) { return <html lang="en"><body>{children}</body></html> }');
file('app/page.js', "import Image from 'next/image'; import pic from '../public/a.jpg'; export default function P() { return <Image src={pic} alt='' /> }");
for (const name of ['a.jpg', '日本語.jpg', "semi;colon'(1).jpg", '%41b.jpg', 'no-extension', 'two.dots.jpg', 'é.jpg']) file('public/' + name, photo);
file('public/big.svg', '<svg xmlns="http://www.w3.org/2000/svg">' + '<rect width="9" height="9"/>'.repeat(60) + '</svg>');
file('public/small.svg', '<svg xmlns="http://www.w3.org/2000/svg"/>');
file('public/i.ico', Buffer.concat([Buffer.from([0, 0, 1, 0]), Buffer.alloc(1500)]));
file('public/b.bmp', Buffer.concat([Buffer.from('BM'), Buffer.alloc(1500)]));
file('public/j.jxl', Buffer.concat([Buffer.from([0xff, 0x0a]), Buffer.alloc(1500)]));
file('public/text.jpg', 'hello');
file('next.config.js', `
const v = process.env.VARIANT;
module.exports = {
  distDir: '.next-' + v,
  basePath: v.includes('base') ? '/base' : '',
  trailingSlash: v.includes('slash'),
  skipTrailingSlashRedirect: v.includes('both'),
  compress: !v.includes('plain'),
  images: {
    qualities: [75], dangerouslyAllowLocalIP: true, dangerouslyAllowSVG: true, unoptimized: v === 'unoptimized',
    contentDispositionType: v.includes('inline') ? 'inline' : 'attachment',
    ...(v.includes('inline') ? { contentSecurityPolicy: "default-src 'self'" } : {}),
    remotePatterns: [{ protocol: 'http', hostname: '127.0.0.1' }],
  },
};`);
const originPort = 4899;
const origin = http.createServer((req, res) => {
  const u = new URL(req.url, 'http://x');
  const status = /^\/s(\d+)/.exec(u.pathname);
  if (status) { res.statusCode = Number(status[1]); res.setHeader('Cache-Control', 'public, max-age=99999'); return res.end('no'); }
  if (u.pathname === '/empty') return res.end();
  if (u.searchParams.has('cc')) res.setHeader('Cache-Control', u.searchParams.get('cc'));
  if (u.searchParams.has('etag')) res.setHeader('ETag', u.searchParams.get('etag'));
  res.end(u.pathname.endsWith('.svg') ? '<svg xmlns="http://www.w3.org/2000/svg"/>' : photo);
}).listen(originPort, '127.0.0.1');

// --- asking ---
const send = (port, raw) => new Promise((ok, no) => {
  const s = net.connect(port, '127.0.0.1');
  const parts = [];
  s.on('data', (d) => parts.push(d)).on('error', no).on('close', () => ok(Buffer.concat(parts)));
  s.write(Buffer.from(raw, 'latin1'));
  setTimeout(() => s.destroy(), 15000).unref();
});
const hop = new Set(['date', 'connection', 'keep-alive', 'transfer-encoding']);
function parse(answer) {
  const end = answer.indexOf('\r\n\r\n');
  const [first, ...lines] = answer.subarray(0, end).toString('latin1').split('\r\n');
  const headers = {};
  let chunked = false;
  for (const line of lines) {
    const i = line.indexOf(':'), name = line.slice(0, i).toLowerCase(), value = line.slice(i + 1).trim();
    if (name === 'transfer-encoding') chunked = true;
    if (!hop.has(name)) headers[name] = name in headers ? headers[name] + ', ' + value : value;
  }
  let body = answer.subarray(end + 4);
  if (chunked) {
    const parts = [];
    for (let at = 0; ;) {
      const eol = body.indexOf('\r\n', at), size = parseInt(body.subarray(at, eol).toString(), 16);
      if (!size) break;
      parts.push(body.subarray(eol + 2, eol + 2 + size));
      at = eol + 4 + size;
    }
    body = Buffer.concat(parts);
  }
  return { status: Number(first.split(' ')[1]), headers, body };
}

const q = (u, w = 64) => '?url=' + encodeURIComponent(u) + `&w=${w}&q=75`;
const get = (target, headers = [], method = 'GET') => [`${method} ${target} HTTP/1.1`, 'Host: h', 'Connection: close', ...headers, '', ''].join('\r\n');
const up = (p) => `http://127.0.0.1:${originPort}${p}`;
const img = '/_next/image' + q('/a.jpg');
const gz = 'Accept-Encoding: gzip, deflate, br';

const variants = {
  default: (media, tag) => [
    get(img), get(img), get(img, [], 'HEAD'), get(img, ['Accept: image/webp']), get(img, ['Accept: image/avif', 'Accept: image/webp']), get(img, ['Accept: image/webp;v=1']), get(img, [gz]), get(img, ['Range: bytes=0-9']),
    get(img, [`If-None-Match: ${tag}`]), get(img, [`If-None-Match: ${tag}`], 'HEAD'), get(img, [`If-None-Match: "${tag}"`]), get(img, [`If-None-Match: W/${tag}`]), get(img, [`If-None-Match: x, ${tag}`]), get(img, ['If-None-Match: *']),
    get(img, ['If-None-Match: \t* ']), get(img, ['If-None-Match: a', `If-None-Match: ${tag}`]), get(img, ['If-None-Match: a', 'If-None-Match: *']), get(img, ['If-None-Match: *', 'Cache-Control: no-cache']), get(img, ['If-None-Match: *', 'Cache-Control: max-age=0', 'Cache-Control: no-cache']), get(img, ['If-None-Match: *', 'Pragma: no-cache']),
    get(img, ['If-Modified-Since: Wed, 21 Oct 2035 07:28:00 GMT']), get(img, ['If-None-Match: *', 'If-Modified-Since: Wed, 21 Oct 2015 07:28:00 GMT']), get(img, ['If-None-Match: *', 'If-Modified-Since: ']), get(img, [`If-None-Match: ${tag}`, 'Accept: image/webp']), get(img, [`If-Match: nope`]),
    get('/_next/image'), get('/_next/image', [], 'HEAD'), get('/_next/image?'), get('/_next/image?url=/a.jpg'), get('/_next/image?url=//h/a.jpg&w=64&q=75'), get('/_next/image' + q('/a.jpg', 65)), get(img, ['If-None-Match: *', 'Accept: text/html']), get('/_next/image?url=/a.jpg&w=65&q=75', ['If-None-Match: *']),
    get('/_next/image' + q('/missing.jpg')), get('/_next/image' + q('/missing.jpg'), [], 'HEAD'), get('/_next/image' + q('/text.jpg')), get('/_next/image' + q(up('/s404'))), get('/_next/image' + q(up('/s403'))), get('/_next/image' + q(up('/s410'))), get('/_next/image' + q(up('/empty'))), get('/_next/image?url=%2F%25E0%25A4%25A&w=64&q=75'),
    get('/_next/image' + q(media)), get('/_next/image' + q(media), ['If-None-Match: *']), get('/_next/image' + q('/no-extension')), get('/_next/image' + q('/two.dots.jpg')), get('/_next/image' + q('/日本語.jpg')), get('/_next/image' + q("/semi;colon'(1).jpg")), get('/_next/image' + q('/%2541b.jpg')), get('/_next/image' + q('/%C3%A9.jpg')),
    get('/_next/image' + q(up('/x/y.png?cc=max-age%3D20000&etag=%22abc%22'))), get('/_next/image' + q(up('/x/'))), get('/_next/image' + q(up('/p.svg?etag=W%2F%22abc%22'))), get('/_next/image' + q(up('/p.svg?etag=W%2F%22abc%22')), ['If-None-Match: *']), get('/_next/image' + q(up('/x%20y%22z.jpg?s-maxage&cc=s-maxage%3D90000'))),
    get('/_next/image' + q('/big.svg')), get('/_next/image' + q('/big.svg'), [gz]), get('/_next/image' + q('/big.svg'), [gz], 'HEAD'), get('/_next/image' + q('/big.svg'), ['Accept-Encoding: deflate']), get('/_next/image' + q('/big.svg'), ['Accept-Encoding: br']), get('/_next/image' + q('/big.svg'), ['Accept-Encoding: gzip;q=0', 'Accept-Encoding: deflate']), get('/_next/image' + q('/big.svg'), [gz, 'If-None-Match: *']), get('/_next/image' + q('/small.svg'), [gz]), get('/_next/image' + q('/i.ico'), [gz]), get('/_next/image' + q('/b.bmp'), [gz]), get('/_next/image' + q('/j.jxl'), [gz]),
    get('/_next/image/' + q('/a.jpg')), get('/_next/image/' + q('/a.jpg'), [], 'HEAD'), get('/_next/image/' + q('/a.jpg'), [], 'POST'), get('/_next/image/'), get('/_next/image/?'), get('/_next//image' + q('/a.jpg')), get('//_next/image' + q('/a.jpg')), get('/_next\\image' + q('/a.jpg')), get('/_next/image//' + q('/a.jpg')), get('/./_next/image' + q('/a.jpg')), get('/_next/x/%2e./image' + q('/a.jpg')), get('/_next/image/.' + q('/a.jpg')), get(img + '#f'), get('/_next/image/?a=1&b=2&a=3#f'),
    get(img + '&z=\x7f'), get(img + '&z=\xff'), get(img + '&z=a b'), get(img + '&z="<>`{}|^\\'), `GET ${img} HTTP/1.0\r\n\r\n`, `GET ${img} HTTP/1.2\r\nHost: h\r\n\r\n`, `GET ${img} HTTP/1.1\r\nConnection: close\r\n\r\n`,
  ],
  slash: () => [get('/_next/image/' + q('/a.jpg')), get('/_next/image' + q('/a.jpg')), get('/_next/image' + q('/a.jpg'), [], 'HEAD'), get('/_next/image'), get('/_next/image/'), get('/_next/image/' + q('/a.jpg'), ['If-None-Match: *']), get('/_next//image' + q('/a.jpg'))],
  base: (media) => [get('/base/_next/image' + q('/base/a.jpg')), get('/base/_next/image/' + q('/base/a.jpg')), get('/base/_next/image' + q(media)), get('/base/_next/image' + q('/_next/static/media/a.jpg'))],
  'slash-both-inline': () => [get('/_next/image/' + q('/a.jpg')), get('/_next/image' + q('/a.jpg'))],
  plain: () => [get('/_next/image' + q('/big.svg'), [gz])],
};

const env = (v) => ({ ...process.env, VARIANT: v, NEXT_TELEMETRY_DISABLED: '1' });
const next = path.join(root, 'node_modules/next/dist/bin/next');
const rows = [];
let port = 4900;
for (const [variant, requests] of Object.entries(variants)) {
  execFileSync('node', [next, 'build'], { cwd: root, env: env(variant), stdio: 'ignore' });
  fs.rmSync(path.join(root, `.next-${variant}/cache/images`), { recursive: true, force: true });
  const server = spawn('node', [next, 'start', '-H', '127.0.0.1', '-p', String(++port)], { cwd: root, env: env(variant), stdio: 'ignore' });
  for (let i = 0; i < 100; i++) {
    if (await send(port, 'GET /nothing HTTP/1.0\r\n\r\n').catch(() => null)) break;
    await new Promise((ok) => setTimeout(ok, 100));
  }
  const base = variant.includes('base') ? '/base' : '';
  const media = base + '/_next/static/media/' + fs.readdirSync(path.join(root, `.next-${variant}/static/media`)).find((n) => n.endsWith('.jpg'));
  const first = parse(await send(port, get(base + '/_next/image' + (variant.includes('slash') ? '/' : '') + q(base + '/a.jpg'))));
  for (const raw of requests(media, first.headers.etag)) {
    const { status, headers, body } = parse(await send(port, raw));
    // A body that is compressed is kept as what it decodes to: no two compressors agree.
    const coding = headers['content-encoding'];
    const plain = coding === 'gzip' ? (await import('node:zlib')).gunzipSync(body) : coding === 'deflate' ? (await import('node:zlib')).inflateSync(body) : body;
    rows.push({ variant, request: Buffer.from(raw, 'latin1').toString('base64'), status, headers, body: plain.toString('base64') });
  }
  server.kill();
  await new Promise((ok) => server.on('exit', ok));
}
origin.close();
fs.writeFileSync(path.join(here, 'wire.json'), '[\n' + rows.map((r) => JSON.stringify(r)).join(',\n') + '\n]\n');
