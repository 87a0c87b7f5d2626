// Keeps the upper part of the page fresh, and says so when it is not. Everything works without this script.
'use strict';
const every = 5000, patience = 4000;
const live = document.getElementById('live'), fresh = document.getElementById('fresh');
let asOf = new Date(), behind = false, paused = false;

const clock = (t) => t.toISOString().slice(11, 19);

// Nobody's click or selection is to be lost.
function inUse() {
  return live.contains(document.activeElement) || live.querySelector('details[open]') !== null ||
    (getSelection().type === 'Range' && live.contains(getSelection().anchorNode));
}

function show() {
  document.body.classList.toggle('stale', behind);
  fresh.parentElement.classList.toggle('stale', behind);
  const age = `${Math.round((Date.now() - asOf) / 1000)} s ago`;
  fresh.textContent = behind ? `No answer. This is as of ${clock(asOf)} UTC, ${age}.`
    : paused ? `As of ${clock(asOf)} UTC, ${age}: not refreshed while you are at it.`
      : `As of ${clock(asOf)} UTC, refreshed every ${every / 1000} s.`;
}

async function refresh() {
  if (document.hidden) return;
  paused = inUse();
  if (paused) return show();
  try {
    const answer = await fetch(document.querySelector('nav a').href, { signal: AbortSignal.timeout(patience) });
    if (!answer.ok) throw new Error(answer.status);
    const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (inUse()) return;
    live.replaceChildren(...page.getElementById('live').childNodes);
    document.title = page.title;
    document.querySelector('link[rel=icon]').href = page.querySelector('link[rel=icon]').href;
    asOf = new Date();
    behind = false;
  } catch {
    behind = true;
  }
  show();
}

// A message tells of one action, not of every visit to this address.
if (location.search) history.replaceState(null, '', location.pathname);
setInterval(refresh, every);
document.addEventListener('visibilitychange', refresh);
show();
