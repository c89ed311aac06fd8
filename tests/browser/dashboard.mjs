// SPDX-License-Identifier: Apache-2.0
// The dashboard in jsdom against a live API: what it shows, that it shows data as text only, that
// its buttons work, and what axe finds. Usage: node dashboard.mjs PORT KEY
import assert from 'node:assert/strict';
import axe from 'axe-core';
import { JSDOM, VirtualConsole } from 'jsdom';

const [port, key] = process.argv.slice(2);
const base = `http://127.0.0.1:${port}`;
const headers = { 'x-api-key': key };

async function post(path, body) {
  const reply = await fetch(base + path, { method: 'POST', headers, body: JSON.stringify(body) });
  assert.ok(reply.ok, `${path}: ${reply.status}`);
  return reply.json();
}
async function until(what, check) {
  for (let i = 0; i < 200; i++) {
    const value = check();
    if (value) return value;
    await new Promise((r) => setTimeout(r, 50));
  }
  assert.fail(`never: ${what}`);
}

const evil = '<img src=x onerror="window.broken = true">';
await post('/v1/environments', { name: evil, config: { packages: { pip: ['chatty-2', 'a==1'] } } });
await post('/v1/environments', { name: 'failing', config: { packages: { pip: ['fails'] } } });
const slow = await post('/v1/environments', { name: 'slow', config: { packages: { pip: ['slow-60000'] } } });

const reply = await fetch(`${base}/`);
const html = await reply.text();
assert.ok(!/https?:\/\//.test(html), 'the page names another site');
const problems = [];
const virtualConsole = new VirtualConsole();
// axe tries a canvas, which jsdom has none of.
virtualConsole.on('jsdomError', (e) => { if (!/Not implemented/.test(e.message)) problems.push(e); });
const dom = new JSDOM(html, {
  url: `${base}/`, runScripts: 'dangerously', pretendToBeVisual: true, virtualConsole,
  beforeParse(window) {
    window.fetch = (path, options) => fetch(new URL(path, base), options);
    window.HTMLDialogElement.prototype.showModal ??= function showModal() { this.open = true; };
    window.HTMLDialogElement.prototype.close ??= function close() { this.open = false; };
  },
});
const { document } = dom.window;

// Without the key it says why it shows nothing; with it, all is there.
await until('the message', () => /API key/.test(document.getElementById('message').textContent));
document.getElementById('key').value = key;
document.getElementById('key-form').dispatchEvent(new dom.window.Event('submit', { cancelable: true }));
await until('environments', () => document.querySelectorAll('#environments tr').length === 3);
await until('builds', () => document.querySelectorAll('#builds tr').length === 3);
assert.equal(document.getElementById('message').textContent, '');
assert.equal(document.getElementById('ready').textContent, 'ready');

// Names are text.
assert.ok(document.body.textContent.includes(evil));
assert.equal(document.querySelectorAll('img').length, 0);
assert.equal(dom.window.broken, undefined);

// A failure is told in words, and a running build is cancelled by its button.
await until('the failure', () => /cannot be had/.test(document.getElementById('builds').textContent));
const cancel = await until('the button', () =>
  document.querySelector(`button[aria-label="Cancel build ${slow.build.job_id}"]`));
cancel.click();
await until('cancelled', () => /cancelled/.test(document.getElementById('builds').textContent));

// A build opens with its log.
[...document.querySelectorAll('#builds button.link')].at(-1).click();
await until('the log', () => /line 1/.test(document.getElementById('detail-text').textContent));
document.getElementById('close').click();

// Filters.
const status = document.getElementById('status');
status.value = 'failed';
status.dispatchEvent(new dom.window.Event('change'));
await until('one build', () => document.querySelectorAll('#builds tr').length === 1);

// What a checker of accessibility finds (colours need a real browser).
dom.window.eval(axe.source);
const found = await dom.window.axe.run(document, { rules: { 'color-contrast': { enabled: false } } });
assert.equal(found.violations.map((v) => `${v.id}: ${v.help}`).join('; '), '');

// Both colour schemes reach 4.5:1 for every text on its ground.
function luminance(hex) {
  const full = hex.length === 4 ? [...hex.slice(1)].map((c) => c + c).join('') : hex.slice(1);
  const [r, g, b] = [0, 2, 4].map((i) => parseInt(full.slice(i, i + 2), 16) / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}
const schemes = [...html.matchAll(/:root \{([^}]*)\}/g)].map((m) =>
  Object.fromEntries([...m[1].matchAll(/--(\w+): (#[0-9a-f]+)/g)].map((v) => [v[1], v[2]])));
assert.equal(schemes.length, 2);
for (const colours of schemes)
  for (const text of ['text', 'dim', 'link', 'good', 'bad', 'busy', 'wait'])
    for (const ground of ['page', 'card']) {
      const [a, b] = [luminance(colours[text]), luminance(colours[ground])].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      assert.ok(ratio >= 4.5, `${text} on ${ground}: ${ratio.toFixed(2)}`);
    }

assert.deepEqual(problems, []);
dom.window.close();
console.log('ok: the dashboard');
process.exit(0);
