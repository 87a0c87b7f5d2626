// The demo page of imgopt: asks demo/image for each variant once its card comes into view, a few at a time.

const $ = (id) => document.getElementById(id);
const el = (tag, className, text) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};
const bytes = (n) => n < 1000 ? `${n} B` : n < 1e6 ? `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)} kB` : `${(n / 1e6).toFixed(n < 1e7 ? 2 : 1)} MB`;
const millis = (ms) => ms < 1 ? `${Math.max(1, Math.round(ms * 1000))} µs` : ms < 1000 ? `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
// A change of size, with its sign and as many digits as tell something.
const percent = (x) => {
  const p = Math.abs(x * 100);
  return p < .5 ? '± 0 %' : `${x < 0 ? '−' : '+'}${p.toFixed(p >= 99.5 && p < 100 ? 1 : 0)} %`;
};
const WHY = {
  type: ['passed through', 'Images of this type are sent as they are.'],
  animated: ['animated', 'Animated images are sent as they are.'],
  fallback: ['fallback', 'It could not be decoded or encoded: the original bytes are sent.'],
};
const FORMATS = [['', 'as it is'], ['webp', 'webp'], ['avif', 'avif']];

const data = await (await fetch('demo/data.json')).json();
const state = { cards: [], widths: new Set(), quality: 0 };
const asked = new URLSearchParams(location.hash.slice(1)); // what an earlier visit had chosen

// --- asking, at most so many at a time ---
const LIMIT = 4;
const waiting = [];
let busy = 0;
function next() {
  while (busy < LIMIT && waiting.length) {
    const tile = waiting.shift();
    if (!tile.wanted) continue;
    tile.wanted = tile.needed = false;
    busy++;
    ask(tile).finally(() => { busy--; next(); });
  }
}
function want(tile) {
  if (tile.wanted) return;
  tile.wanted = true;
  tile.root.classList.add('busy');
  waiting.push(tile);
  next();
}

async function ask(tile) {
  const { source } = tile.card;
  const query = new URLSearchParams({ url: source.href, w: tile.width, q: tile.quality, accept: tile.format });
  let result;
  try {
    // Without the header any site's page could have this asked for.
    const response = await fetch('demo/image?' + query, { headers: { 'X-Imgopt-Demo': '1' } });
    const time = parseFloat(/dur=([\d.]+)/.exec(response.headers.get('Server-Timing') ?? '')?.[1] ?? 'NaN');
    if (response.ok) {
      const blob = await response.blob();
      result = {
        blob, time, type: response.headers.get('Content-Type'), cache: response.headers.get('X-Nextjs-Cache'),
        unchanged: response.headers.get('X-Demo-Unchanged'), original: Number(response.headers.get('X-Demo-Original-Size')) || source.size,
      };
    } else {
      result = { status: response.status, time, text: await response.text(), reason: response.headers.get('X-Demo-Reason') };
    }
  } catch (error) {
    result = { status: 0, text: String(error), reason: 'network' };
  }
  tile.result = result;
  draw(tile);
  total();
  filter();
}

// --- drawing ---
const badge = (kind, text, title) => Object.assign(el('span', 'badge ' + kind, text), { title: title ?? '' });

function draw(tile) {
  const { root, result: r } = tile;
  root.className = 'tile';
  root.replaceChildren();
  const head = el('div', 'asked');
  head.append(el('span', '', `w=${tile.width}`), el('span', '', tile.format ? `browser with ${tile.format}` : 'browser without webp, avif'));
  const info = el('div');
  if (!r) {
    root.append(head, el('div', 'frame'), info);
    return;
  }
  if (r.status !== undefined) {
    root.classList.add('failed');
    const line = el('div', 'line');
    line.append(badge('error', r.status || 'failed', r.reason), el('span', 'time', Number.isNaN(r.time) ? '' : millis(r.time)));
    info.append(line, el('div', 'facts', r.reason ?? ''));
    root.append(head, el('div', 'text', r.text), info);
    return;
  }
  root.classList.add('done');
  const frame = el('div', 'frame');
  const img = el('img');
  if (tile.url) URL.revokeObjectURL(tile.url);
  tile.url = URL.createObjectURL(r.blob);
  const size = el('span', 'facts');
  img.alt = `${tile.card.source.name}, ${tile.width} wide, ${r.type}`;
  img.onload = () => { size.textContent = `${img.naturalWidth} × ${img.naturalHeight}`; };
  img.onerror = () => { frame.classList.add('none'); frame.dataset.why = `${r.type}: not shown by this browser`; };
  img.src = tile.url;
  frame.append(img);
  const saved = 1 - r.blob.size / r.original;
  const line = el('div', 'line');
  line.append(el('span', 'bytes', bytes(r.blob.size)), el('strong', '', r.type.replace('image/', '')));
  if (!r.unchanged) line.append(el('span', saved < 0 ? 'saved more' : 'saved', percent(-saved)));
  line.append(size);
  const bar = el('div', saved < 0 ? 'bar more' : 'bar');
  const fill = el('i');
  fill.style.width = `${Math.min(100, Math.max(1, r.blob.size / r.original * 100))}%`;
  bar.append(fill);
  const line2 = el('div', 'line');
  line2.append(badge(r.cache, r.cache), el('span', 'time', millis(r.time)));
  if (r.unchanged) {
    const [text, title] = WHY[r.unchanged] ?? [r.unchanged, ''];
    root.classList.add(r.unchanged === 'fallback' ? 'fallback' : 'unchanged');
    line2.append(badge(r.unchanged === 'fallback' ? 'fallback' : 'note', text, title));
  }
  info.append(line, bar, line2);
  root.append(head, frame, info);
}

function total() {
  const done = state.cards.flatMap((c) => c.tiles).filter((t) => t.result && t.result.status === undefined);
  const failed = state.cards.flatMap((c) => c.tiles).filter((t) => t.result && t.result.status !== undefined).length;
  const original = done.reduce((n, t) => n + t.result.original, 0);
  const sent = done.reduce((n, t) => n + t.result.blob.size, 0);
  const hits = done.filter((t) => t.result.cache === 'HIT').length;
  const rows = [['images', state.cards.length], ['variants', done.length], ['errors', failed], ['from cache', done.length ? `${Math.round(hits / done.length * 100)} %` : '–'],
    ['originals', bytes(original)], ['sent', bytes(sent)], ['change', original ? percent(sent / original - 1) : '–']];
  $('totals').replaceChildren(...rows.map(([k, v]) => { const d = el('div'); d.append(el('dt', '', k), el('dd', '', v)); return d; }));
}

// --- cards ---
const seen = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const card = target.card;
    card.inView = isIntersecting;
    for (const tile of card.tiles) {
      if (isIntersecting && !tile.result) want(tile);
      else if (!isIntersecting && tile.wanted && !tile.needed) { tile.wanted = false; tile.root.classList.remove('busy'); }
    }
  }
}, { rootMargin: '300px 0px' });

const kind = (name) => (/\.([^.]+)$/.exec(name)?.[1] ?? 'other').toLowerCase().replace(/^jpg$/, 'jpeg').replace(/^tif$/, 'tiff');

for (const source of data.sources) {
  const root = $('card').content.firstElementChild.cloneNode(true);
  const card = root.card = { source, root, kind: kind(source.name), tiles: [], inView: false };
  card.originalURL = 'demo/original?' + new URLSearchParams({ href: source.href });
  const facts = root.querySelector('.facts'), frame = root.querySelector('.frame'), img = root.querySelector('img');
  root.querySelector('.name').textContent = source.name;
  facts.textContent = bytes(source.size);
  img.alt = source.name;
  img.loading = 'lazy';
  img.onload = () => { facts.textContent = `${bytes(source.size)} · ${img.naturalWidth} × ${img.naturalHeight}`; };
  img.onerror = () => { frame.classList.add('none'); frame.dataset.why = 'not shown by this browser'; };
  img.src = card.originalURL;
  state.cards.push(card);
  $('images').append(root);
  seen.observe(root);
}

function lay() {
  const formats = FORMATS.filter(([f]) => !f || data.formats.includes('image/' + f));
  for (const card of state.cards) {
    const old = new Map(card.tiles.map((t) => [`${t.width} ${t.format} ${t.quality}`, t]));
    card.tiles = [];
    const rows = [...state.widths].sort((a, b) => a - b).map((width) => {
      const row = el('div', 'row');
      for (const [format] of formats) {
        const key = `${width} ${format} ${state.quality}`;
        const tile = old.get(key) ?? { card, width, format, quality: state.quality, root: el('button', 'tile') };
        old.delete(key);
        tile.root.type = 'button';
        tile.root.onclick = () => compare(tile);
        if (!tile.result) draw(tile);
        card.tiles.push(tile);
        row.append(tile.root);
      }
      return row;
    });
    for (const gone of old.values()) { gone.wanted = gone.needed = false; if (gone.url) URL.revokeObjectURL(gone.url); }
    card.root.querySelector('.variants').replaceChildren(...rows);
    if (card.inView) card.tiles.filter((t) => !t.result).forEach(want);
  }
  total();
}

// --- choosing ---
function filter() {
  const name = $('name').value.trim().toLowerCase(), type = $('type').value, show = $('show').value;
  let any = false;
  for (const card of state.cards) {
    const is = (test) => card.tiles.some((t) => t.result && test(t.result));
    const fits = card.source.name.toLowerCase().includes(name) && (!type || card.kind === type) &&
      (!show || (show === 'error' && is((r) => r.status !== undefined)) || (show === 'fallback' && is((r) => r.unchanged === 'fallback')) ||
        (show === 'unchanged' && is((r) => r.unchanged && r.unchanged !== 'fallback')));
    card.root.hidden = !fits;
    any ||= fits;
  }
  $('empty').hidden = any;
  const missing = show ? state.cards.flatMap((c) => c.tiles).filter((t) => !t.result).length : 0;
  $('empty').textContent = missing ? `Nothing yet, ${missing} variants to go…` : 'Nothing matches.';
}

// The choice is kept in the address, to be shared and to survive a reload.
function remember() {
  const chosen = { name: $('name').value, type: $('type').value, show: $('show').value, sort: $('sort').value === 'size' ? '' : $('sort').value, widths: [...state.widths].sort((a, b) => a - b).join(',') };
  history.replaceState(null, '', '#' + new URLSearchParams(Object.entries(chosen).filter(([, v]) => v)));
}

const ORDERS = {
  size: (a, b) => b.source.size - a.source.size,
  name: (a, b) => a.source.name.localeCompare(b.source.name, 'en', { numeric: true }),
};
function sort() {
  $('images').append(...state.cards.sort(ORDERS[$('sort').value] ?? ORDERS.size).map((c) => c.root));
}

// Showing only what turned out some way takes having asked for everything.
function show() {
  if ($('show').value) {
    for (const tile of state.cards.flatMap((c) => c.tiles).filter((t) => !t.result)) {
      tile.needed = true; // also out of view
      want(tile);
    }
  }
  filter();
}
$('show').onchange = () => { show(); remember(); };
$('name').oninput = $('type').onchange = () => { filter(); remember(); };
$('sort').onchange = () => { sort(); remember(); };
$('again').onclick = () => state.cards.filter((c) => c.inView && !c.root.hidden).flatMap((c) => c.tiles).forEach(want);
$('quality').onchange = () => { state.quality = Number($('quality').value); lay(); };

for (const k of [...new Set(state.cards.map((c) => c.kind))].sort()) $('type').append(new Option(k, k));
for (const q of data.qualities) $('quality').append(new Option(q, q, q === 75, q === 75));
state.quality = Number($('quality').value);
const nearest = (w) => data.widths.reduce((best, x) => Math.abs(x - w) < Math.abs(best - w) ? x : best, data.widths[0]);
state.widths = new Set((asked.get('widths')?.split(',').map(Number) ?? [96, 640, 1200]).map(nearest));
for (const w of [...data.widths].sort((a, b) => a - b)) {
  const label = el('label', 'chip'), input = el('input');
  Object.assign(input, { type: 'checkbox', checked: state.widths.has(w) });
  input.onchange = () => { input.checked ? state.widths.add(w) : state.widths.delete(w); lay(); remember(); };
  label.append(input, el('span', '', w));
  $('widths').append(label);
}
$('version').textContent = data.version ?? '';

// --- comparing ---
function compare(tile) {
  const r = tile.result;
  if (!r || r.status !== undefined) return;
  $('before').src = tile.card.originalURL;
  $('after').src = tile.url;
  $('compare-title').textContent = tile.card.source.name;
  $('after-tag').textContent = `${r.type.replace('image/', '')} · w=${tile.width} · ${bytes(r.blob.size)}`;
  const facts = $('compare-facts');
  facts.textContent = `original ${bytes(r.original)} → ${bytes(r.blob.size)} ${r.type} · ${r.cache} in ${millis(r.time)}${r.unchanged ? ' · ' + (WHY[r.unchanged]?.[1] ?? r.unchanged) : ''} `;
  if (data.publicURL) {
    const link = el('a', '', 'public url');
    link.href = data.publicURL + '?' + new URLSearchParams({ url: tile.card.source.href, w: tile.width, q: tile.quality });
    link.rel = 'noreferrer';
    facts.append(' · ', link);
  }
  divide(500);
  $('split').value = 500;
  $('compare').showModal();
}
const divide = (v) => $('stage').style.setProperty('--at', `${v / 10}%`);
$('split').oninput = () => divide($('split').value);
$('compare').onclick = (e) => { if (e.target === $('compare')) $('compare').close(); };

for (const id of ['name', 'type', 'show', 'sort']) if (asked.has(id)) $(id).value = asked.get(id);
sort();
lay();
show();
