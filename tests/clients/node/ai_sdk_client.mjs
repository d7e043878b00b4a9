// Vercel's AI SDK with its providers for OpenAI (responses and chat), Anthropic and Bedrock.

import assert from 'node:assert/strict';
import { createAmazonBedrock } from '@ai-sdk/amazon-bedrock';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, Output, embedMany, generateText, stepCountIs, streamText, tool } from 'ai';
import { z } from 'zod';
import {
  ANSWER, EMBEDDERS, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, SEEN, TLS_URL, URL, WARMTH,
  check, fails, left, run, special, token,
} from './checks.mjs';

const openai = (apiKey = KEY) => createOpenAI({ baseURL: `${URL}/v1`, apiKey });
const anthropic = (apiKey = KEY) => createAnthropic({ baseURL: `${URL}/v1`, apiKey });
const bedrock = (apiKey = KEY) => createAmazonBedrock({ baseURL: TLS_URL, region: 'eu-central-1', apiKey });
const PROVIDERS = [
  { name: 'openai', of: (model, key) => openai(key)(model) },
  { name: 'openai.chat', of: (model, key) => openai(key).chat(model) },
  { name: 'anthropic', of: (model, key) => anthropic(key)(model) },
  { name: 'bedrock', of: (model, key) => bedrock(key)(model) },
];

// Without `store: false` its responses refer to earlier answers by id alone, which only OpenAI itself has kept.
const asking = (provider, model, prompt, key) => ({
  model: provider.of(model, key), prompt, maxRetries: 0, maxOutputTokens: 100,
  providerOptions: provider.name === 'openai' ? { openai: { store: false } } : {},
});

async function chat(provider, model) {
  const { text, finishReason, usage } = await generateText({ instructions: 'Be brief.', ...asking(provider, model, SAID) });
  assert.deepEqual([text, finishReason, usage.totalTokens], [ANSWER, 'stop', 17]);
}
check('chat', chat, PROVIDERS, MODELS);

/** A stream that tells of its errors by throwing them. */
function stream(asked) {
  let failed;
  const result = streamText({ ...asked, onError: ({ error }) => { failed = error; } });
  const read = async () => {
    let text = '';
    for await (const delta of result.textStream) text += delta;
    if (failed) throw failed;
    return text;
  };
  return { result, read };
}

async function streamed(provider, model) {
  const { result, read } = stream(asking(provider, model, SAID));
  assert.equal(await read(), ANSWER);
  assert.deepEqual([await result.finishReason, (await result.usage).totalTokens], ['stop', 17]);
}
check('stream', streamed, PROVIDERS, MODELS);

async function tools(provider, model, isStreamed) {
  const cities = [];
  const weather = tool({
    description: 'Of a city',
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      cities.push(city);
      return RESULTS[city];
    },
  });
  const asked = { ...asking(provider, model, 'How warm is it?'), tools: { weather }, stopWhen: stepCountIs(2) };
  const result = isStreamed ? stream(asked).result : await generateText(asked);
  // Of a stream both are promises.
  const [text, steps] = [await result.text, await result.steps];
  assert.deepEqual([cities, text, steps.length], [Object.keys(RESULTS), WARMTH, 2]);
}
check('tools', tools, PROVIDERS, MODELS, [false, true]);

async function structured(provider, model, isStreamed) {
  const schema = z.object({ city: z.string(), celsius: z.number().int() });
  const asked = { ...asking(provider, model, 'Where?'), output: Output.object({ schema }) };
  const result = isStreamed ? stream(asked).result : await generateText(asked);
  assert.deepEqual(await result.output, SEEN);
}
check('structured', structured, PROVIDERS, MODELS, [false, true]);

async function embeddings(model) {
  const { embeddings: made } = await embedMany({ model, values: ['one', 'another'], maxRetries: 0 });
  assert.equal(made.length, 2);
  assert.notDeepEqual(made[0], made[1]);
}
check('embeddings', async function embeddingsOpenai(model) {
  await embeddings(openai().embeddingModel(model));
}, EMBEDDERS);
check('embeddings', async function embeddingsBedrock(model) {
  await embeddings(bedrock().embeddingModel(model));
}, ['bedrock/amazon.titan-embed-text-v2:0']);

async function errors(provider, model) {
  const ask = (text, { key = KEY, named = model } = {}) => () => generateText(asking(provider, named, text, key));
  const denied = await fails(APICallError, ask('hi', { key: 'sk-ms-wrong' }));
  assert.equal(denied.statusCode, provider.name === 'bedrock' ? 403 : 401);
  await fails(APICallError, ask('hi', { named: `${model}-not-there` }), 404);
  await fails(APICallError, ask('status 400'), 400);
  const limited = await fails(APICallError, ask('hi', { key: LIMITED_KEY }), 429);
  assert.ok(limited.isRetryable && limited.responseHeaders['retry-after'] > 0);
  assert.ok((await fails(APICallError, ask('status 503', { named: special(model, 'broken') }))).isRetryable);
}
check('errors', errors, PROVIDERS, MODELS);

async function errorsCut(provider, model) {
  const { result, read } = stream(asking(provider, special(model, 'cut'), 'cut here'));
  await fails(Error, read);
  assert.notEqual(await result.finishReason.then((reason) => reason, () => 'error'), 'stop');
}
check('errors', errorsCut, PROVIDERS, MODELS);

async function abort(provider, model) {
  const of = token(provider.name, model);
  const leaving = new AbortController();
  const { result } = stream({ ...asking(provider, model, `forever ${of}`), abortSignal: leaving.signal });
  for await (const text of result.textStream) if (text) break;
  leaving.abort();
  await left(of);
}
check('abort', abort, PROVIDERS, MODELS);

await run('AI SDK (Node)', 'ai');
