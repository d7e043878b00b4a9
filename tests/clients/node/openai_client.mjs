// OpenAI's SDK: chat completions, responses and embeddings.

import assert from 'node:assert/strict';
import OpenAI, * as openai from 'openai';
import { zodResponseFormat, zodTextFormat } from 'openai/helpers/zod';
import { z } from 'zod';
import {
  ANSWER, EMBEDDERS, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, SEEN, URL, WARMTH, WEATHER,
  all, check, fails, left, run, special, token, whenBegun,
} from './checks.mjs';

const connect = (apiKey) => new OpenAI({ baseURL: `${URL}/v1`, apiKey, maxRetries: 0 });
const client = connect(KEY);
const { completions } = client.chat;
const { responses } = client;
const Seen = z.object({ city: z.string(), celsius: z.number().int() });
const user = (content) => [{ role: 'user', content }];

check('chat', async function chat(model) {
  const messages = [{ role: 'system', content: 'Be brief.' }, ...user(SAID)];
  const { choices, usage } = await completions.create({ model, messages });
  assert.deepEqual([choices[0].message.content, choices[0].finish_reason, usage.total_tokens], [ANSWER, 'stop', 17]);
});

check('chat', async function chatResponse(model) {
  const got = await responses.create({ model, instructions: 'Be brief.', input: SAID });
  assert.deepEqual([got.output_text, got.status, got.usage.total_tokens], [ANSWER, 'completed', 17]);
});

check('stream', async function stream(model) {
  const asked = { model, messages: user(SAID), stream: true, stream_options: { include_usage: true } };
  const chunks = await all(await completions.create(asked));
  assert.equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), ANSWER);
  assert.equal(chunks.at(-1).usage.total_tokens, 17);
});

check('stream', async function streamResponse(model) {
  const events = responses.stream({ model, input: SAID });
  const texts = (await all(events)).filter((event) => event.type === 'response.output_text.delta');
  assert.equal(texts.map((event) => event.delta).join(''), ANSWER);
  assert.equal((await events.finalResponse()).usage.total_tokens, 17);
});

async function tools(model, isStreamed) {
  const tool = { name: 'weather', description: 'Of a city', parameters: WEATHER, strict: true };
  const asked = { model, messages: user('How warm is it in Paris and Rome, signed?'), tools: [{ type: 'function', function: tool }] };
  const finished = async () => {
    if (!isStreamed) return (await completions.create(asked)).choices[0];
    return (await completions.stream(asked).finalChatCompletion()).choices[0];
  };
  const { message, finish_reason } = await finished();
  assert.equal(finish_reason, 'tool_calls');
  const calls = message.tool_calls.map(({ id, function: of }) => ({ id, city: JSON.parse(of.arguments).city }));
  assert.deepEqual(calls.map(({ city }) => city), Object.keys(RESULTS));
  const results = calls.map(({ id, city }) => ({ role: 'tool', tool_call_id: id, content: RESULTS[city] }));
  asked.messages.push(message, ...results);
  assert.equal((await finished()).message.content, WARMTH);
}
check('tools', tools, MODELS, [false, true]);

check('tools', async function toolsResponse(model) {
  const asked = { model, tools: [{ type: 'function', name: 'weather', parameters: WEATHER, strict: true }] };
  const question = user('How warm is it, signed?');
  const { output } = await responses.stream({ ...asked, input: question }).finalResponse();
  const calls = output.filter((item) => item.type === 'function_call');
  const results = calls.map(({ call_id, arguments: text }) => (
    { type: 'function_call_output', call_id, output: RESULTS[JSON.parse(text).city] }
  ));
  // What `stream` adds to the calls is for its own users.
  const said = output.map(({ parsed_arguments, ...item }) => item);
  assert.equal((await responses.create({ ...asked, input: [...question, ...said, ...results] })).output_text, WARMTH);
});

check('structured', async function structured(model) {
  const asked = { model, messages: user('Where?'), response_format: zodResponseFormat(Seen, 'seen') };
  assert.deepEqual((await completions.parse(asked)).choices[0].message.parsed, SEEN);
});

check('structured', async function structuredResponse(model) {
  const asked = { model, input: 'Where?', text: { format: zodTextFormat(Seen, 'seen') } };
  assert.deepEqual((await responses.parse(asked)).output_parsed, SEEN);
});

check('embeddings', async function embeddings(model) {
  const vectors = async (form) => {
    const { data } = await client.embeddings.create({ model, input: ['one', 'another'], ...form });
    return data.map(({ embedding }) => Array.from(new Float32Array(embedding)));
  };
  // The SDK asks for base64 unless told otherwise: both are the same numbers.
  const packed = await vectors({});
  assert.deepEqual(packed, await vectors({ encoding_format: 'float' }));
  assert.notDeepEqual(packed[0], packed[1]);
}, EMBEDDERS);

check('errors', async function errors(model) {
  const ask = (text, { asked = client, named = model } = {}) => () => (
    asked.chat.completions.create({ model: named, messages: user(text) })
  );
  await fails(openai.AuthenticationError, ask('hi', { asked: connect('sk-ms-wrong') }), 401);
  await fails(openai.NotFoundError, ask('hi', { named: `${model}-not-there` }), 404);
  await fails(openai.BadRequestError, ask('status 400'), 400);
  const limited = await fails(openai.RateLimitError, ask('hi', { asked: connect(LIMITED_KEY) }), 429);
  assert.ok(limited.headers.get('retry-after') > 0);
  const throttled = await fails(openai.RateLimitError, ask('status 429 after 90', { named: special(model, 'throttled') }), 429);
  assert.equal(throttled.headers.get('retry-after'), '90');
  await fails(openai.InternalServerError, ask('status 503', { named: special(model, 'broken') }), 503);
});

check('errors', async function errorsCut(model) {
  const asked = { model: special(model, 'cut'), messages: user('cut here'), stream: true };
  await fails(openai.APIError, async () => all(await completions.create(asked)));
});

check('abort', async function abortStream(model) {
  const of = token(model);
  for await (const chunk of await completions.create({ model, messages: user(`forever ${of}`), stream: true })) {
    if (chunk.choices[0]?.delta.content) break;
  }
  await left(of);
});

check('abort', async function abortWhole(model) {
  const of = token(model);
  const signal = whenBegun(of);
  await fails(openai.APIUserAbortError, () => completions.create({ model, messages: user(`forever ${of}`) }, { signal }));
  await left(of);
});

await run('openai (Node)', 'openai');
