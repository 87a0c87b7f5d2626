// Records what Node's http server with its default options answers to odd requests, written byte for byte on a connection,
// for strict.json:
//
//   node strict.mjs > strict.json      with the Node that runs Next (20.20.2, llhttp 9.3.1, when the table was made)
import http from 'node:http';
import net from 'node:net';

const T = '/_next/image?url=%2Fa.jpg&w=64&q=75';
const next = `GET ${T}&next HTTP/1.1\r\nHost: h\r\n\r\n`; // what must not be smuggled, or must be served
const get = (...lines) => `GET ${T} HTTP/1.1\r\nHost: h\r\n${lines.map((l) => l + '\r\n').join('')}\r\n`;
const repeat = (text, times) => ({ text, times });

const cases = {
  'plain': [get(), next],
  'HTTP/1.0': [`GET ${T} HTTP/1.0\r\n\r\n`, next],
  'HTTP/1.0 kept alive': [`GET ${T} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n`, next],

  // Line ends.
  'bare LF everywhere': [get().replaceAll('\r', ''), next],
  'bare LF after the request line': [`GET ${T} HTTP/1.1\nHost: h\r\n\r\n`, next],
  'bare LF after a header': [`GET ${T} HTTP/1.1\r\nHost: h\nX: y\r\n\r\n`, next],
  'bare LF at the end': [`GET ${T} HTTP/1.1\r\nHost: h\r\n\n`, next],
  'bare CR after the request line': [`GET ${T} HTTP/1.1\rHost: h\r\n\r\n`, next],
  'bare CR in a value': [get('X: a\rY: b'), next],
  'bare CR at the end of a value': [get('X: a\r'), next],
  'two CR': [`GET ${T} HTTP/1.1\r\r\nHost: h\r\n\r\n`, next],
  'two CR at the end': [`GET ${T} HTTP/1.1\r\nHost: h\r\n\r\r\n`, next],
  'empty lines first': [`\r\n\r\n${get()}`, next],
  'bare LF first': [`\n${get()}`, next],
  'empty lines between': [get(), '\r\n\r\n', next],
  'space first': [` ${get()}`, next],
  'obs-fold': [get('X: a', ' b'), next],
  'obs-fold with tab': [get('X: a', '\tb'), next],
  'obs-fold after Host': [get(' x'), next],
  'obs-fold first': [`GET ${T} HTTP/1.1\r\n X: y\r\nHost: h\r\n\r\n`, next],
  'obs-fold of a length': [get('Content-Length:', ' 5') + 'hello', next],
  'obs-fold with a colon': [get('X: a', ' Content-Length: 5') + 'hello', next],

  // The request line.
  'no version': [`GET ${T}\r\nHost: h\r\n\r\n`, next],
  'HTTP/0.9': [`GET ${T}\r\n\r\n`, next],
  'HTTP/0.9 bare': [`GET ${T}\r\n`],
  'HTTP/1.2': [`GET ${T} HTTP/1.2\r\nHost: h\r\n\r\n`, next],
  'HTTP/2.0': [`GET ${T} HTTP/2.0\r\nHost: h\r\n\r\n`, next],
  'HTTP/2 preface': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  'HTTP/11': [`GET ${T} HTTP/11\r\nHost: h\r\n\r\n`, next],
  'http/1.1': [`GET ${T} http/1.1\r\nHost: h\r\n\r\n`, next],
  'ICE': [`SOURCE ${T} ICE/1.0\r\nHost: h\r\n\r\n`, next],
  'two spaces before the target': [`GET  ${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'two spaces after the target': [`GET ${T}  HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'tab before the target': [`GET\t${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'tab after the target': [`GET ${T}\tHTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'space after the version': [`GET ${T} HTTP/1.1 \r\nHost: h\r\n\r\n`, next],
  'space in the target': [`GET ${T} x HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'space in a target elsewhere': ['GET /x y HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'NUL in the target': [`GET ${T}\0 HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'NUL in a target elsewhere': ['GET /x\0 HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'control in the target': [`GET ${T}\x01 HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'DEL in the target': [`GET ${T}\x7f HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'no ASCII in the target': [`GET ${T}\xe9 HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'no ASCII in a target elsewhere': ['GET /\xe9 HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'fragment': [`GET ${T}#f HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'control in the method': [`G\x01T ${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'unknown method': [`BREW ${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'method in lower case': [`get ${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'no target': ['GET HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'empty target': ['GET  HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'absolute-form': [`GET http://h${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'absolute-form of another host': [`GET http://other${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'authority-form': ['GET h:443 HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'CONNECT': ['CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'asterisk': ['GET * HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'OPTIONS asterisk': ['OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'no slash': ['GET x HTTP/1.1\r\nHost: h\r\n\r\n', next],

  // Host.
  'no Host': [`GET ${T} HTTP/1.1\r\n\r\n`, next],
  'no Host elsewhere': ['GET /x HTTP/1.1\r\n\r\n', next],
  'empty Host': [`GET ${T} HTTP/1.1\r\nHost:\r\n\r\n`, next],
  'two Hosts': [get('Host: other'), next],
  'two equal Hosts': [get('Host: h'), next],
  'Host with a space': [`GET ${T} HTTP/1.1\r\nHost: a b\r\n\r\n`, next],
  'Host with a comma': [`GET ${T} HTTP/1.1\r\nHost: a,b\r\n\r\n`, next],
  'Host with a slash': [`GET ${T} HTTP/1.1\r\nHost: a/b\r\n\r\n`, next],
  'Host with user': [`GET ${T} HTTP/1.1\r\nHost: u@h\r\n\r\n`, next],

  // Header names and values.
  'no colon': [get('nonsense'), next],
  'space before the colon': [get('X : y'), next],
  'tab before the colon': [get('X\t: y'), next],
  'space in a name': [get('X Y: z'), next],
  'empty name': [get(': y'), next],
  'slash in a name': [get('X/Y: z'), next],
  'bracket in a name': [get('X(Y): z'), next],
  'no ASCII in a name': [get('X\xe9: z'), next],
  'NUL in a name': [get('X\0: z'), next],
  'control in a name': [get('X\x0b: z'), next],
  'all of a token in a name': [get("!#$%&'*+-.^_`|~09azAZ: z"), next],
  'NUL in a value': [get('X: a\0b'), next],
  'control in a value': [get('X: a\x01b'), next],
  'DEL in a value': [get('X: a\x7fb'), next],
  'VT in a value': [get('X: a\x0bb'), next],
  'tab in a value': [get('X: a\tb'), next],
  'no ASCII in a value': [get('X: a\xe9b'), next],
  'empty value': [get('X:'), next],
  'spaces around a value': [get('X: \t a \t '), next],

  // Lengths.
  'length 0': [get('Content-Length: 0'), next],
  'length with a body': [get('Content-Length: 5') + 'hello', next],
  'two lengths': [get('Content-Length: 5', 'Content-Length: 0') + 'hello', next],
  'two lengths, the other order': [get('Content-Length: 0', 'Content-Length: 5') + 'hello', next],
  'two equal lengths': [get('Content-Length: 0', 'Content-Length: 0'), next],
  'length list': [get('Content-Length: 0, 0'), next],
  'length negative': [get('Content-Length: -1'), next],
  'length with plus': [get('Content-Length: +0'), next],
  'length hexadecimal': [get('Content-Length: 0x0'), next],
  'length with a space': [get('Content-Length: 0 0'), next],
  'length empty': [get('Content-Length:'), next],
  'length with zeros': [get('Content-Length: 00'), next],
  'length with a space after': [get('Content-Length: 0 '), next],
  'length with a tab before': [get('Content-Length:\t0'), next],
  'length of 30 digits': [get('Content-Length: ' + '9'.repeat(30)), next],
  'length overflow': [get('Content-Length: 18446744073709551616'), next],
  'length in other case': [get('CONTENT-LENGTH: 5') + 'hello', next],
  'length with underscore': [get('Content_Length: 5'), next],

  // Codings.
  'chunked and empty': [get('Transfer-Encoding: chunked') + '0\r\n\r\n', next],
  'chunked in other case': [get('transfer-encoding: CHUNKED') + '0\r\n\r\n', next],
  'chunked with a body': [get('Transfer-Encoding: chunked') + '5\r\nhello\r\n0\r\n\r\n', next],
  'chunked and length': [get('Content-Length: 5', 'Transfer-Encoding: chunked') + '0\r\n\r\n', next],
  'chunked and length, the other order': [get('Transfer-Encoding: chunked', 'Content-Length: 5') + '0\r\n\r\n', next],
  'chunked twice': [get('Transfer-Encoding: chunked', 'Transfer-Encoding: chunked') + '0\r\n\r\n', next],
  'chunked, chunked': [get('Transfer-Encoding: chunked, chunked') + '0\r\n\r\n', next],
  'chunked then identity': [get('Transfer-Encoding: chunked', 'Transfer-Encoding: identity') + '0\r\n\r\n', next],
  'identity': [get('Transfer-Encoding: identity'), next],
  'identity and length': [get('Transfer-Encoding: identity', 'Content-Length: 5') + 'hello', next],
  'gzip, chunked': [get('Transfer-Encoding: gzip, chunked') + '0\r\n\r\n', next],
  'chunked, gzip': [get('Transfer-Encoding: chunked, gzip') + '0\r\n\r\n', next],
  'xchunked': [get('Transfer-Encoding: xchunked') + '0\r\n\r\n', next],
  'chunked with a parameter': [get('Transfer-Encoding: chunked;x=y') + '0\r\n\r\n', next],
  'chunked with VT': [get('Transfer-Encoding: \x0bchunked') + '0\r\n\r\n', next],
  'chunked with a tab': [get('Transfer-Encoding:\tchunked') + '0\r\n\r\n', next],
  'chunked quoted': [get('Transfer-Encoding: "chunked"') + '0\r\n\r\n', next],
  'chunked folded': [get('Transfer-Encoding:', ' chunked') + '0\r\n\r\n', next],
  'space before the colon of a coding': [get('Transfer-Encoding : chunked') + '0\r\n\r\n', next],
  'empty coding': [get('Transfer-Encoding:'), next],
  'chunked of HTTP/1.0': [`GET ${T} HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, next],
  'chunk size with bare LF': [get('Transfer-Encoding: chunked') + '0\n\n', next],
  'chunk extension': [get('Transfer-Encoding: chunked') + '0;a=b\r\n\r\n', next],
  'chunk trailer': [get('Transfer-Encoding: chunked') + '0\r\nX: y\r\n\r\n', next],
  'chunk size with plus': [get('Transfer-Encoding: chunked') + '+0\r\n\r\n', next],

  // Too much.
  'target of 100 KiB': [`GET ${T}&`, repeat('y', 100 << 10), ' HTTP/1.1\r\nHost: h\r\n\r\n', next],
  'header of 1 MiB': [`GET ${T} HTTP/1.1\r\nHost: h\r\nX: `, repeat('y', 1 << 20), '\r\n\r\n', next],
  'name of 100 KiB': [`GET ${T} HTTP/1.1\r\nHost: h\r\n`, repeat('y', 100 << 10), ': x\r\n\r\n', next],
  '10,000 headers': [`GET ${T} HTTP/1.1\r\nHost: h\r\n`, repeat('X: y\r\n', 10000), '\r\n', next],
  'method of 100 KiB': [repeat('G', 100 << 10), ` ${T} HTTP/1.1\r\nHost: h\r\n\r\n`, next],
  'empty lines without end': [repeat('\r\n', 100 << 10), next],

  // Not HTTP.
  'TLS': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n\n\n\n'],
  'SSH': ['SSH-2.0-OpenSSH_9.6\r\n\r\n'],
  'an answer': ['HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', next],
  'PROXY': ['PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n', get(), next],
};

const seen = new Map(); // by the client's port
const server = http.createServer((req, res) => {
  const requests = seen.get(req.socket.remotePort) ?? [];
  seen.set(req.socket.remotePort, requests);
  requests.push(req.method + ' ' + req.url.slice(0, 100));
  res.setHeader('Content-Length', 0);
  res.end();
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));

function ask(parts) {
  return new Promise((done) => {
    const c = net.connect({ port: server.address().port, host: '127.0.0.1', allowHalfOpen: true });
    let answer = '', closed = false, port;
    c.on('connect', () => {
      port = c.localPort;
      for (const p of parts) c.write(typeof p === 'string' ? Buffer.from(p, 'latin1') : Buffer.from(p.text.repeat(p.times), 'latin1'));
    });
    c.on('data', (b) => { answer += b.toString('latin1'); });
    c.on('error', () => { closed = true; });
    c.on('end', () => { closed = true; });
    setTimeout(() => {
      c.destroy();
      done({ statuses: [...answer.matchAll(/HTTP\/1\.1 (\d+) /g)].map((m) => Number(m[1])), closed, requests: (seen.get(port) ?? []).length });
    }, 400);
  });
}

const rows = await Promise.all(Object.entries(cases).map(async ([name, parts]) => ({
  name,
  raw: parts.map((p) => typeof p === 'string' ? { text: Buffer.from(p, 'latin1').toString('base64') } : { text: Buffer.from(p.text).toString('base64'), times: p.times }),
  ...await ask(parts),
})));
process.stdout.write('[\n' + rows.map((r) => JSON.stringify(r)).join(',\n') + '\n]\n');
server.closeAllConnections();
server.close();
