// What the clients in Node share: which models are asked, what the upstream answers, and one line of JSON a case.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const { env } = process;
export const URL = env.MAINSTAY_URL;
export const TLS_URL = env.MAINSTAY_TLS_URL;
export const KEY = env.MAINSTAY_KEY;
export const LIMITED_KEY = env.MAINSTAY_KEY_LIMITED;
export const MODELS = env.MODELS.split(' ');
export const EMBEDDERS = env.EMBEDDERS.split(' ');
export const COUNTERS = env.COUNTERS.split(' ');
export const SAID = 'Grüße, 世界 👋';
export const ANSWER = `You said: ${SAID}`;
export const RESULTS = { Paris: '21', Rome: '28' };
export const WARMTH = 'Paris: 21; Rome: 28';
export const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
export const SEEN = { city: 'Paris', celsius: 21 };
const LEAVES_WITHIN_MS = 1000;

const checks = [];

/** A case for each combination of choices: the models, when none are given. */
export function check(capability, ask, ...choices) {
  const lists = choices.length ? choices : [MODELS];
  const chosen = lists.reduce((all, list) => all.flatMap((some) => list.map((one) => [...some, one])), [[]]);
  for (const choice of chosen) checks.push({ capability, ask, choice });
}

/** All of them; ends with 0, as what failed stands in the lines. */
export async function run(sdk, name) {
  const { version } = JSON.parse(readFileSync(`${import.meta.dirname}/node_modules/${name}/package.json`));
  for (const { capability, ask, choice } of checks) {
    if (!(env.ONLY ?? capability).includes(capability)) continue;
    const names = choice.map((one) => one?.name ?? String(one));
    const line = { client: `${sdk} ${version}`, capability, case: [ask.name, ...names].join(' '), ok: true };
    await ask(...choice).catch((error) => Object.assign(line, { ok: false, why: String(error.stack).slice(0, 2000) }));
    console.log(JSON.stringify(line));
  }
  process.exit(0);
}

/** The error that `call` ends with. */
export async function fails(kind, call, status) {
  const error = await call().then((got) => assert.fail(`no error but ${JSON.stringify(got)}`), (error) => error);
  // The AI SDK's classes know their own, as there may be two copies of one.
  if (!(kind.isInstance?.(error) ?? error instanceof kind)) throw error;
  if (status) assert.equal(error.status ?? error.statusCode ?? error.$metadata?.httpStatusCode, status);
  return error;
}

/** A model of the same provider that this client alone asks, as its breaker or quota will be shut. */
export function special(model, what) {
  return `${model.split('/')[0]}/${what}-${env.CLIENT}`;
}

export function token(...of) {
  return [env.CLIENT, ...of, process.hrtime.bigint()].join('-').replaceAll(/[/:]/g, '-');
}

/** Whether the provider's call has `begun`, or is `closed`; at once, when it has. */
const happened = async (word, of) => (await (await fetch(`${env.UPSTREAM_URL}/${word}/${of}`)).json())[word];

/** Says to leave when the provider has begun. */
export function whenBegun(of) {
  const leaving = new AbortController();
  happened('begun', of).then(() => leaving.abort());
  return leaving.signal;
}

/** The provider's call is closed soon after the client left. */
export async function left(of) {
  const began = performance.now();
  const closed = await happened('closed', of);
  const took = performance.now() - began;
  assert.ok(closed && took <= LEAVES_WITHIN_MS, `closed: ${closed}, after ${took} ms`);
}

export async function all(events) {
  const list = [];
  for await (const event of events) list.push(event);
  return list;
}
