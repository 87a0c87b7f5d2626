// Writes the golden tables of this folder from the real modules of a Next.js installation:
//
//   node golden.mjs DIR     DIR holds node_modules/next (16.4.6 when the tables were made)
//
// fresh, content-disposition and url formatting are called as next/dist/server/image-optimizer.js and
// next/dist/server/lib/router-utils/resolve-routes.js call them; the compression middleware is asked over HTTP.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import url from 'node:url';

const root = path.resolve(process.argv[2] ?? '.');
const require = createRequire(path.join(root, 'noop.js'));
const here = path.dirname(url.fileURLToPath(import.meta.url));
const fresh = require('next/dist/compiled/fresh');
const disposition = require('next/dist/compiled/content-disposition');
const compression = require('next/dist/compiled/compression');
const { mime } = require('next/dist/compiled/send');
const { getExtension, getContentType } = require('next/dist/server/serve-static');
const { parseUrl } = require('next/dist/shared/lib/router/utils/parse-url');
const { normalizeRepeatedSlashes } = require('next/dist/shared/lib/utils');
const { addRequestMeta } = require('next/dist/server/request-meta');
const { stringifyQuery } = require('next/dist/server/server-route-utils');

// A small repeatable generator (mulberry32), so that the tables only change when the cases do.
let seed = 1;
const rnd = (n) => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) % n;
};
const pick = (list) => list[rnd(list.length)];
const join = (list, max) => Array.from({ length: rnd(max) }, () => pick(list)).join('');
const write = (name, rows) =>
  fs.writeFileSync(path.join(here, name), '[\n' + rows.map((r) => JSON.stringify(r)).join(',\n') + '\n]\n');

// --- conditional requests -------------------------------------------------------------------------------------
{
  const tag = 'VIXm70uxfiHkQyA3kV63YwefSeao6akhtE3STdHRn68';
  const rows = [];
  const add = (inm, ims, cc, etag) => {
    const headers = {};
    if (inm !== null) headers['if-none-match'] = inm;
    if (ims !== null) headers['if-modified-since'] = ims;
    if (cc !== null) headers['cache-control'] = cc;
    rows.push({ inm, ims, cc, etag, fresh: fresh(headers, { etag }) });
  };
  const inms = [null, '', '*', ' *', '* ', '*,*', tag, `"${tag}"`, `W/${tag}`, `W/"${tag}"`, `W/W/${tag}`, `w/${tag}`,
    `a, ${tag}`, `a,${tag},b`, `a ,  ${tag}  , b`, `${tag} x`, `x ${tag}`, `\t${tag}`, `${tag}\t`, `a,\t${tag}`, ',', ',,',
    `,${tag}`, `${tag},`, tag.toLowerCase(), tag + 'x', tag.slice(1), 'W/', 'undefined', `"a,${tag}"`, `${tag},*`, `*,${tag}`];
  for (const inm of inms)
    for (const etag of [tag, 'W/' + tag, '"q"', ''])
      for (const [ims, cc] of [[null, null], ['Wed, 21 Oct 2035 07:28:00 GMT', null], ['', null], [null, 'no-cache'], [null, '']])
        add(inm, ims, cc, etag);
  for (const cc of ['no-cache', ' no-cache ', 'max-age=0', 'max-age=0, no-cache', 'no-cache, max-age=0', 'max-age=0 no-cache',
    'no-cachex', 'xno-cache', 'No-Cache', 'NO-CACHE', 'no-cache=x', 'no-cache="set-cookie"', ',no-cache,', 'a,\tno-cache\t,b',
    'no-store', 'no-cache no-cache', 'x no-cache,no-cache', 'no-cache\u00a0', '\u00a0no-cache', '\u0085no-cache', 'no-cacheno-cache', 'a,  no-cache'])
    add(tag, null, cc, tag);
  const bits = [tag, '*', ',', ' ', 'W/', '"', 'x', '\t', 'é'];
  for (let i = 0; i < 400; i++) add(join(bits, 7), null, null, pick([tag, 'W/' + tag, 'x']));
  const ccBits = ['no-cache', ',', ' ', '\t', 'x', '=', '\u00a0', 'no-', 'cache'];
  for (let i = 0; i < 300; i++) add('*', null, join(ccBits, 6), tag);
  write('fresh.json', rows);
}

// --- file names and media types -------------------------------------------------------------------------------
{
  // As getFileNameWithExtension in image-optimizer.js, which is not exported.
  const fileName = (u, contentType) => {
    const last = u.split('?', 1)[0].split('/').pop();
    if (!contentType || !last) return 'image.bin';
    return `${last.split('.', 1)[0]}.${getExtension(contentType)}`;
  };
  const names = ['/a.jpg', '/a', '/a.b.c.jpg', '/.jpg', '/', '/x/', '/x/y.png?z=/q.gif', '/a b.jpg', '/a"b.jpg', '/a\\b.jpg', "/a'b(1).jpg",
    '/semi;colon.jpg', '/comma,a.jpg', '/%41.jpg', '/%4.jpg', '/%zz.jpg', '/100%.jpg', '/%20.jpg', '/é.jpg', '/ü"x.jpg', '/€.jpg', '/日本語.jpg',
    '/😀.jpg', '/a😀é.jpg', '/\u0080.jpg', '/\u009f.jpg', '/\u00a0.jpg', '/ÿ.jpg', '/\u0000.jpg', '/a\nb.jpg', '/a\r\nSet-Cookie: x=1.jpg',
    '/\t.jpg', '/\u007f.jpg', '/~!@#$&*()_+{}|:<>?-=[];\',', '/é%41.jpg', '/\ufffd.jpg', '/\u2028.jpg', '/*.jpg', '/a*b\'c.jpg', '/..', '/...jpg',
    'http://h/', 'http://h/a.jpg', 'http://h/p%C3%A9.png?x=1', 'http://user:pw@h/a%2Fb.jpg', 'https://h/a.jpg#frag/x.y', '/a.jpg#x', '/a;b=c.jpg',
    '/@.jpg', '/`^|.jpg', '/a?b', '/?', '', 'x', '/con tent.type.webp', '/' + 'a'.repeat(300) + '.jpg'];
  const rows = [];
  const add = (u, type, kind) => rows.push({ url: u, type, kind, header: disposition(fileName(u, type), { type: kind }) });
  for (const u of names) for (const [t, k] of [['image/jpeg', 'attachment'], ['image/svg+xml', 'inline'], ['image/x-icon', 'ATTACHMENT']]) add(u, t, k);
  const bits = ['a', '.', '%', '4', '1', '"', '\\', "'", '(', ')', '*', 'é', 'ÿ', '€', '😀', ' ', ';', '\u0080', '\u0000', '\u00a0', '~', '/', '?', '%E9', '%ff'];
  for (let i = 0; i < 400; i++) add('/' + join(bits, 9), 'image/webp', 'attachment');
  write('disposition.json', rows);

  const types = [...Object.keys(mime.extensions).filter((t) => t.startsWith('image/')), 'image/pict', 'image/x-foo',
    'IMAGE/JPEG', 'image/jpeg; charset=binary', ' image/png', 'image/jpg', 'image/webp;v=1', 'image/webp ;v=1', 'image/webp v', ';image/webp', '', 'image/'];
  write('media.json', types.map((type) => {
    const extension = getExtension(type) ?? '';
    const served = extension ? getContentType(extension) : '';
    return { type, extension, served, compressible: served ? compression.filter({}, { getHeader: () => served }) : false };
  }));
}

// --- redirects ------------------------------------------------------------------------------------------------
{
  const rows = [];
  const slash = (target) => {
    const query = parseUrl(target).query;
    const req = {};
    addRequestMeta(req, 'initQuery', { ...query });
    const pathname = parseUrl(target).pathname;
    const other = pathname.endsWith('/') ? pathname.slice(0, -1) : pathname + '/';
    rows.push({ kind: 'slash', target, location: url.format({ pathname: other, search: stringifyQuery(req, query) }) });
  };
  const repeated = (target) => rows.push({ kind: 'repeated', target, location: url.format(parseUrl(normalizeRepeatedSlashes(target))) });
  const queries = ['', '?', '?url=%2Fa.jpg&w=64&q=75', '?url=/a.jpg', "?x='<>\"{}|^`\\", '?a+b=c+d', '?a%20b=c%2Bd', '?%zz=%', '?%', '?a', '?a=', '?=a', '?=', '?&', '?a&&b',
    '?a=1&b=2&a=3', '?b=1&a=2&b=3&a=4', '?10=a&9=b&x=c&1=d', '?01=a&1=b', '?4294967294=a&4294967295=b&0=c', '?-1=a&0=b', '?%C3%A9=%E2%82%AC', '?a=%F0%9F%98%80', '?a=%ff%fe', '?a=%C3', '?a=%ED%A0%80', '?a=%E2%82', '?a=%E2%82x', '?a=%F0%9F%98', '?a=%F0%9F%98x%E2', '?a=%F0%80%80', '?a=%E2%E2%82%AC', '?a=%C0%80', '?a=%F4%90%80%80', '?a=%EF%BB%BFx',
    '?%E9', "?~!*()'=-_.;@$:,/?", '?a=b=c', '?a#b', '?a=1#', '#x', '?a%26b=c%3Dd', '?url=%2Fa.jpg%3Fx%3D1%26y%3D2&w=1', '?a=%00%0a%0D', '?a=%2500', '?a=\u007e'];
  const paths = ['/_next/image/', '/base/_next/image', '/base/_next/image/'];
  for (const q of queries) for (const p of paths) slash(p + q);
  const bits = ['a', 'b', '1', '2', '=', '=', '&', '&', '+', '%', '%20', '%C3%A9', '%E2', '%82', '%F0%9F', '%80', '?', '/', "'", '"', '~', '%26', '%3D'];
  for (let i = 0; i < 400; i++) slash('/_next/image/?' + join(bits, 14));
  const doubled = ['//_next/image', '/_next//image', '/_next///image//', '/_next\\image', '\\_next\\\\image', '/base//_next/image/', '/_next/image//', '/x/..//_next/image', '//_next/./image', '//_next/%2e/image/.', '/_next//image/x/..', '/./_next//x/%2E%2e/image'];
  for (const q of queries) for (const p of doubled) if (p.startsWith('/')) repeated(p + q);
  for (let i = 0; i < 200; i++) repeated('/_next//image?' + join([...bits, '#', '\\', '`', '<', '{', '|', '^'], 14));
  write('redirect.json', rows);
}

// --- Accept-Encoding ------------------------------------------------------------------------------------------
{
  const headers = [null, '', 'gzip', 'deflate', 'br', '*', 'identity', 'gzip, deflate, br', 'gzip, deflate, br, zstd', 'deflate, gzip', 'deflate, gzip;q=0.5', 'deflate;q=0.5, gzip;q=0.1',
    'gzip;q=0', 'gzip;q=0, deflate', 'gzip;q=0, *', '*;q=0', '*;q=0, gzip', 'identity;q=0', 'identity;q=1, *;q=0', 'gzip;q=0.5, identity', 'gzip;q=0.5, identity;q=0.5', 'identity, gzip', 'identity;q=0.5, gzip;q=0.5',
    'deflate, identity', 'deflate;q=0.5, identity', 'deflate;q=0.5, identity;q=0.4', 'gzip;q=0.2, deflate;q=0.9, identity;q=0.5', 'GZIP', 'GZip;Q=0.5', 'gzip; q=1', 'gzip ;q=1', 'gzip;q=x', 'gzip;q=', 'gzip;x=1', 'gzip;x=1;q=0',
    'gzip;q=2', 'gzip;q=-1', 'gzip;q=0.001', 'x-gzip', 'gzipx', 'gzip deflate', ',gzip', 'gzip,', ',,', ';q=1', 'gzip;q="0"', '*;q=0.5, gzip;q=0', '*, gzip;q=0', 'deflate, *;q=0', 'deflate;q=1, *;q=0.5', 'br;q=1, *;q=0.1', 'gzip,gzip;q=0', 'gzip;q=0,gzip',
    'identity;q=0, *;q=0', 'gzip\t', '\tgzip', 'gzip;q=1e-1', 'gzip;q=0x1', 'gzip;q=.5', 'gzip;q= 0', 'gzip;q=0 ', 'gzip;q=Infinity, identity', 'gzip;=1', 'gzip;q=1=2', 'deflate, gzip;q=0, *;q=0.3', 'identity;q=0.9, *;q=0.9', '*;q=0.9, identity', 'gzip;q=0;q=1', 'gzip;q=1;q=0'];
  const bits = ['gzip', 'deflate', 'identity', '*', 'br', ';q=0', ';q=0.5', ';q=1', ';q=0.3', ';q=', ',', ', ', ';', ' ', '=', 'x'];
  for (let i = 0; i < 400; i++) headers.push(join(bits, 10));
  const body = Buffer.alloc(4000, 'x');
  const server = http.createServer((req, res) => {
    compression()(req, res, () => {});
    res.setHeader('Content-Type', 'image/svg+xml');
    res.setHeader('Content-Length', body.length);
    res.end(body);
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
  const ask = (accept) => new Promise((ok, no) => {
    http.get({ port: server.address().port, host: '127.0.0.1', headers: accept === null ? {} : { 'accept-encoding': accept } }, (res) => {
      res.resume();
      res.on('end', () => ok(res.headers['content-encoding'] ?? ''));
    }).on('error', no);
  });
  const rows = [];
  for (const accept of headers) rows.push({ accept, coding: await ask(accept) });
  server.close();
  write('encoding.json', rows);
}
