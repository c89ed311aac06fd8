// SPDX-License-Identifier: Apache-2.0
// The official SDK's environments client against the API: every method, pagination, each typed
// error, concurrent updates. Usage: node api_sdk.mjs PORT KEY OTHER_KEY
import assert from 'node:assert/strict';
import Anthropic from '@anthropic-ai/sdk';

const [port, apiKey, otherKey] = process.argv.slice(2);
const baseURL = `http://127.0.0.1:${port}`;
const client = new Anthropic({ apiKey, baseURL });
const envs = client.beta.environments;

async function fails(promise, kind, code, says) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof kind, `${error.constructor.name}: ${error.message}`);
    if (code) assert.equal(error.errorCode, code);
    assert.match(error.requestID, /^req_/);
    if (says) assert.match(error.apiMessage, says);
    return error;
  }
  assert.fail(`expected ${code}`);
}

// create, retrieve
const created = await envs.create({
  name: 'sdk',
  description: 'made by the SDK',
  config: {
    type: 'cloud',
    networking: {
      type: 'limited', allowed_hosts: ['API.example.com', '*.example.org'],
      allow_package_managers: true, allow_mcp_servers: false,
    },
    packages: { type: 'packages', pip: ['requests==2.32.3'], npm: [], apt: null },
  },
  metadata: { team: 'a' },
  betas: ['managed-agents-2026-04-01'],
});
assert.match(created.id, /^env_[1-9A-HJ-NP-Za-km-z]{24}$/);
assert.equal(created.type, 'environment');
assert.deepEqual(created.config.networking.allowed_hosts, ['api.example.com', '*.example.org']);
assert.deepEqual(created.config.packages,
  { apt: [], cargo: [], gem: [], go: [], npm: [], pip: ['requests==2.32.3'] });
assert.equal(created.archived_at, null);
assert.deepEqual(await envs.retrieve(created.id).then((e) => e.metadata), { team: 'a' });

// update: omitted keeps, null clears
let updated = await envs.update(created.id, { description: null, metadata: { team: null, b: '2' } });
assert.equal(updated.description, null);
assert.deepEqual(updated.metadata, { b: '2' });
assert.equal(updated.name, 'sdk');
assert.equal(updated.version, 1);
updated = await envs.update(created.id, {
  config: { type: 'cloud', networking: { type: 'limited', allow_mcp_servers: true } } });
assert.equal(updated.version, 2);
assert.equal(updated.config.networking.allow_package_managers, true);
assert.equal(updated.config.networking.allow_mcp_servers, true);
updated = await envs.update(created.id, { config: { type: 'cloud', networking: null, packages: null } });
assert.deepEqual(updated.config.networking, { type: 'unrestricted' });
assert.deepEqual(updated.config.packages.pip, []);

// list: pages, auto-paging, archived ones
const names = [];
for (let i = 0; i < 45; i++) names.unshift((await envs.create({ name: `n${i}` })).name);
const seen = [];
for await (const e of envs.list()) seen.push(e.name);
assert.deepEqual(seen, [...names, 'sdk']);
const page = await envs.list({ limit: 10 });
assert.equal(page.data.length, 10);
assert.ok(page.hasNextPage());
assert.equal((await page.getNextPage()).data[0].name, names[10]);
const last = await envs.list({ limit: 46 });
assert.equal(last.next_page, null);

// archive, delete
const archived = await envs.archive(created.id);
assert.ok(archived.archived_at);
assert.equal((await envs.archive(created.id)).archived_at, archived.archived_at);
assert.ok(!(await envs.list({ limit: 100 })).data.some((e) => e.id === created.id));
assert.ok((await envs.list({ limit: 100, include_archived: true })).data.some((e) => e.id === created.id));
const victim = await envs.create({ name: 'victim' });
assert.deepEqual(await envs.delete(victim.id), { id: victim.id, type: 'environment_deleted' });

// errors, by the SDK's classes
const nobody = `env_${'1'.repeat(24)}`;
await fails(envs.retrieve(victim.id), Anthropic.NotFoundError, 'environment_not_found');
await fails(envs.update(nobody, { name: 'x' }), Anthropic.NotFoundError, 'environment_not_found');
await fails(envs.delete('../../etc/passwd'), Anthropic.NotFoundError);
await fails(envs.update(created.id, { name: 'x' }), Anthropic.BadRequestError, 'environment_archived');
const live = await envs.create({ name: 'live' });
await fails(envs.update(live.id, { config: { type: 'self_hosted' } }), Anthropic.BadRequestError,
  'invalid_config_type_change');
await fails(envs.create({ name: 'x', config: { type: 'self_hosted' } }), Anthropic.BadRequestError,
  'invalid', /supported: "cloud"/);
await fails(envs.create({ name: 'x', metadata: { 'sandbox0.managed_agents.x': '1' } }),
  Anthropic.BadRequestError, 'invalid_metadata');
await fails(envs.create({ name: '' }), Anthropic.BadRequestError, 'invalid', /^name: /);
await fails(envs.create({ name: 'x', config: { type: 'cloud', packages: { pip: ['a', 'x = = 1'] } } }),
  Anthropic.BadRequestError, 'invalid', /config\.packages\.pip\[1\]/);
await fails(new Anthropic({ apiKey: 'wrong', baseURL }).beta.environments.list(),
  Anthropic.AuthenticationError, 'invalid_api_key');
const other = new Anthropic({ apiKey: null, authToken: otherKey, baseURL }).beta.environments;
await fails(other.retrieve(live.id), Anthropic.NotFoundError, 'environment_not_found');
assert.equal((await other.list()).data.length, 0);

// a conflict is not tried again and again
const pinned = await fetch(`${baseURL}/v1/sessions/s/environment`, {
  method: 'PUT', headers: { 'x-api-key': apiKey }, body: JSON.stringify({ environment_id: live.id }) });
assert.equal(pinned.status, 201);
const began = Date.now();
await fails(envs.delete(live.id), Anthropic.ConflictError, 'environment_in_use');
assert.ok(Date.now() - began < 400, 'the SDK tried again');

// concurrent updates: each one's metadata survives
await Promise.all(Array.from({ length: 12 }, (_, i) =>
  envs.update(live.id, { metadata: { [`k${i}`]: String(i) } })));
assert.equal(Object.keys((await envs.retrieve(live.id)).metadata).length, 12);

const raw = await envs.retrieve(live.id).withResponse();
assert.match(raw.request_id, /^req_/);
console.log('ok: every method of the SDK');
