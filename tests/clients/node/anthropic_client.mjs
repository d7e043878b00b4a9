// Anthropic's SDK: messages and countTokens.

import assert from 'node:assert/strict';
import Anthropic, * as anthropic from '@anthropic-ai/sdk';
import { zodOutputFormat } from '@anthropic-ai/sdk/helpers/zod';
import { z } from 'zod';
import {
  ANSWER, COUNTERS, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, SEEN, URL, WARMTH, WEATHER,
  check, fails, left, run, special, token, whenBegun,
} from './checks.mjs';

const connect = (apiKey) => new Anthropic({ baseURL: URL, apiKey, maxRetries: 0 });
const { messages } = connect(KEY);
const Seen = z.object({ city: z.string(), celsius: z.number().int() });
const asking = (model, content) => ({ model, max_tokens: 100, messages: [{ role: 'user', content }] });

check('chat', async function chat(model) {
  const got = await messages.create({ system: 'Be brief.', ...asking(model, SAID) });
  assert.deepEqual([got.content[0].text, got.stop_reason, got.usage.output_tokens], [ANSWER, 'end_turn', 7]);
});

check('chat', async function countTokens(model) {
  const { max_tokens, ...asked } = asking(model, SAID);
  assert.equal((await messages.countTokens(asked)).input_tokens, 42);
}, COUNTERS);

check('stream', async function stream(model) {
  const events = messages.stream(asking(model, SAID));
  let text = '';
  events.on('text', (delta) => { text += delta; });
  const { stop_reason, usage } = await events.finalMessage();
  assert.deepEqual([text, stop_reason, usage.output_tokens], [ANSWER, 'end_turn', 7]);
});

async function tools(model, isStreamed) {
  const asked = asking(model, 'How warm is it in Paris and Rome, signed?');
  asked.tools = [{ name: 'weather', description: 'Of a city', input_schema: WEATHER }];
  const finished = () => (isStreamed ? messages.stream(asked).finalMessage() : messages.create(asked));
  const { content, stop_reason } = await finished();
  assert.equal(stop_reason, 'tool_use');
  const calls = content.filter((block) => block.type === 'tool_use');
  const results = calls.map(({ id, input }) => ({ type: 'tool_result', tool_use_id: id, content: RESULTS[input.city] }));
  asked.messages.push({ role: 'assistant', content }, { role: 'user', content: results });
  assert.equal((await finished()).content[0].text, WARMTH);
}
check('tools', tools, MODELS, [false, true]);

check('structured', async function structured(model) {
  const asked = { ...asking(model, 'Where?'), output_config: { format: zodOutputFormat(Seen) } };
  assert.deepEqual((await messages.parse(asked)).parsed_output, SEEN);
});

check('errors', async function errors(model) {
  const ask = (text, { key = KEY, named = model } = {}) => () => connect(key).messages.create(asking(named, text));
  await fails(anthropic.AuthenticationError, ask('hi', { key: 'sk-ms-wrong' }), 401);
  await fails(anthropic.NotFoundError, ask('hi', { named: `${model}-not-there` }), 404);
  await fails(anthropic.BadRequestError, ask('status 400'), 400);
  const limited = await fails(anthropic.RateLimitError, ask('hi', { key: LIMITED_KEY }), 429);
  assert.ok(limited.headers.get('retry-after') > 0);
  const throttled = await fails(anthropic.RateLimitError, ask('status 429 after 90', { named: special(model, 'throttled') }), 429);
  assert.equal(throttled.headers.get('retry-after'), '90');
  await fails(anthropic.InternalServerError, ask('status 503', { named: special(model, 'broken') }));
});

check('errors', async function errorsCut(model) {
  await fails(anthropic.APIError, () => messages.stream(asking(special(model, 'cut'), 'cut here')).finalMessage());
});

check('abort', async function abortStream(model) {
  const of = token(model);
  for await (const event of messages.stream(asking(model, `forever ${of}`))) {
    if (event.type === 'content_block_delta') break;
  }
  await left(of);
});

check('abort', async function abortWhole(model) {
  const of = token(model);
  const signal = whenBegun(of);
  await fails(anthropic.APIUserAbortError, () => messages.create(asking(model, `forever ${of}`), { signal }));
  await left(of);
});

await run('anthropic (Node)', '@anthropic-ai/sdk');
