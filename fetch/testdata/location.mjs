// Writes location.json: what Node's URL class, which Next.js uses, makes of Location headers.
//
//	node location.mjs > location.json
//
// Each row is [base, Location, href], with "" for href where URL.canParse refuses.
const bases = [
  'http://example.com/a/b.png',
  'https://user:p%40ss@example.com:8443/dir/b.png?x=1#f',
  'http://[2001:db8::1]:81/x',
]
const locations = [
  '', '/', 'c', './c', '../c', '../../../c', '?q=1', '#f', '//other.test/x', '//other.test', '///other.test/x', '/\\other.test/x',
  '\\\\other.test\\x', 'http:c', 'http:/c', 'https:c', 'https:/c', 'http://other.test', 'HTTP://OTHER.TEST/X', 'https://other.test:443/x',
  'http://other.test:80/', 'http://other.test:65536/', 'http://other.test:x/', 'http://other.test:/x', 'http://', 'http://[', 'http://[::1', 'http://[::1]/x',
  'http://[::ffff:127.0.0.1]/x', 'http://[0:0:0:0:0:0:0:1]:80/', 'http://127.1/', 'http://0x7f.1/', 'http://2130706433/', 'http://0177.0.0.1/', 'http://127.0.0.1./', 'http://1.2.3/',
  'http://256.1.1.1/', 'http://0/', 'http://1.2.3.4.5/', 'http://%31%32%37.0.0.1/', 'http://ex%61mple.com/', 'http://ex ample.com/', 'http://a_b.test/', 'http://a..b/', 'http://.a/',
  'http://b\u00fccher.test/\u00fc?\u00fc#\u00fc', 'http://xn--bcher-kva.test/', 'http://\u3002test/', 'http://\uff11\uff12\uff17.0.0.1/', 'http://a%00b/', 'http://a%2fb/', 'http://a<b/', 'http://a|b/', 'http://a^b/',
  'http://user@other.test/', 'http://user:@other.test/', 'http://:@other.test/', 'http://:pw@other.test/', 'http://u:p:q@other.test/', 'http://u@v@other.test/', 'http://us er:p|w@other.test/',
  'http://other.test/a b', 'http://other.test/a%20b', 'http://other.test/%zz', 'http://other.test/a|b^c[d]"e`f{g}h', "http://other.test/?a b'c\"d<e>f|g^h`i{j}", 'http://other.test/a/./b/../c/%2e/%2E%2e/d', 'http://other.test/a//b///c', 'http://other.test/..',
  ' /lead', '/trail ', '\t/tab', '/t\tab', '/new\nline', '/a\\b\\..\\c', '/%2e%2e/x', '/..%2fx', '/a?b?c#d#e', '/a?', '/a#', '/?', '/a;b=c', '/a:b', ':b', 'a:b', '1a:b',
  'ftp://other.test/x', 'data:image/png;base64,AAAA', 'javascript:alert(1)', 'file:///etc/passwd', 'mailto:a@b', 'ws://other.test/', 'about:blank', 'blob:http://a/b', 'http', 'http:', 'https:', 'http:?q', 'http:#f',
  '/\u00c3\u00bc', '/\u00ff\u0080', 'http://\u00c3\u00bc/', '/%C3%BC', '/%c3%bc', '/a%', '/a%2', '//', '///', '//:80/', '//a:b@c:1/d', '/C:/x', '/C|/x', 'C|/x',
]
const rows = []
for (const base of bases)
  for (const location of locations)
    rows.push([base, location, URL.canParse(location, base) ? new URL(location, base).href : ''])
console.log('[\n' + rows.map((row) => JSON.stringify(row)).join(',\n') + '\n]')
