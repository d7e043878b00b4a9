// AWS's SDK: Converse, ConverseStream, InvokeModel and its stream. It speaks HTTP/2 by itself: signed without TLS (h2c),
// with a key over TLS; and signed over HTTP/1.1, for whoever chooses that.

import assert from 'node:assert/strict';
import * as aws from '@aws-sdk/client-bedrock-runtime';
import { NodeHttpHandler } from '@smithy/node-http-handler';
import {
  ANSWER, KEY, LIMITED_KEY, MODELS, RESULTS, SAID, SEEN, TLS_URL, URL, WARMTH, WEATHER,
  all, check, fails, left, run, special, token, whenBegun,
} from './checks.mjs';

const client = (endpoint, settings) => (
  new aws.BedrockRuntimeClient({ region: 'eu-central-1', endpoint, maxAttempts: 1, ...settings })
);
const withKey = (key) => client(TLS_URL, { token: { token: key }, authSchemePreference: ['httpBearerAuth'] });
const signed = { name: 'h2cSigned', of: client(URL) };
const CONNECTIONS = [
  signed,
  { name: 'http1Signed', of: client(URL, { requestHandler: new NodeHttpHandler() }) },
  { name: 'tlsSigned', of: client(TLS_URL) },
  { name: 'tlsWithKey', of: withKey(KEY) },
];
const IDS = ['amazon.nova-lite-v1:0', 'arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0'];

const asking = (modelId, text) => ({ modelId, messages: [{ role: 'user', content: [{ text }] }] });
const converse = (connection, asked) => connection.of.send(new aws.ConverseCommand(asked));
const claude = (modelId, content) => ({
  modelId,
  contentType: 'application/json',
  body: JSON.stringify({ anthropic_version: 'bedrock-2023-05-31', max_tokens: 100, messages: [{ role: 'user', content }] }),
});
const read = (bytes) => JSON.parse(new TextDecoder().decode(bytes));

/** What is said: models that think show the proof of that beside it. */
const texts = (content) => content.flatMap(({ text }) => text ?? []);

async function chat(connection, model) {
  const { output, stopReason, usage } = await converse(connection, { system: [{ text: 'Be brief.' }], ...asking(model, SAID) });
  assert.deepEqual([texts(output.message.content), stopReason, usage.totalTokens], [[ANSWER], 'end_turn', 17]);
}
check('chat', chat, CONNECTIONS, [...MODELS, ...IDS]);

async function chatInvoked(connection, model) {
  const { body } = await connection.of.send(new aws.InvokeModelCommand(claude(model, SAID)));
  assert.deepEqual(texts(read(body).content), [ANSWER]);
}
check('chat', chatInvoked, CONNECTIONS, MODELS);

/** Blocks of content, and how the stream ended. */
async function streamed(connection, asked) {
  const { stream } = await connection.of.send(new aws.ConverseStreamCommand(asked));
  const content = [];
  let stopReason, usage;
  for await (const { contentBlockStart, contentBlockDelta, messageStop, metadata } of stream) {
    if (contentBlockStart) {
      content[contentBlockStart.contentBlockIndex] = { toolUse: { ...contentBlockStart.start.toolUse, input: '' } };
    }
    if (contentBlockDelta) grow(content[contentBlockDelta.contentBlockIndex] ??= {}, contentBlockDelta.delta);
    stopReason = messageStop?.stopReason ?? stopReason;
    usage = metadata?.usage ?? usage;
  }
  for (const { toolUse } of content) if (toolUse) toolUse.input = JSON.parse(toolUse.input);
  return { content, stopReason, usage };
}

/** Adds a piece of a stream to its block of content. */
function grow(block, { text, toolUse, reasoningContent }) {
  if (text !== undefined) block.text = (block.text ?? '') + text;
  if (toolUse) block.toolUse.input += toolUse.input;
  for (const [name, more] of Object.entries(reasoningContent ?? {})) {
    block.reasoningContent ??= { reasoningText: { text: '' } };
    const thought = block.reasoningContent.reasoningText;
    thought[name] = (thought[name] ?? '') + more;
  }
}

async function stream(connection, model) {
  const { content, stopReason, usage } = await streamed(connection, asking(model, SAID));
  assert.deepEqual([texts(content), stopReason, usage.totalTokens], [[ANSWER], 'end_turn', 17]);
}
check('stream', stream, CONNECTIONS, MODELS);

async function streamInvoked(connection, model) {
  const { body } = await connection.of.send(new aws.InvokeModelWithResponseStreamCommand(claude(model, SAID)));
  const events = (await all(body)).map(({ chunk }) => read(chunk.bytes));
  assert.equal(events.map(({ delta }) => delta?.text ?? '').join(''), ANSWER);
  assert.equal(events.at(-1).type, 'message_stop');
}
check('stream', streamInvoked, CONNECTIONS, MODELS);

async function tools(connection, model, isStreamed) {
  const asked = asking(model, 'How warm is it in Paris and Rome, signed?');
  asked.toolConfig = { tools: [{ toolSpec: { name: 'weather', description: 'Of a city', inputSchema: { json: WEATHER } } }] };
  const finished = async () => {
    if (isStreamed) return streamed(connection, asked);
    const { output, stopReason } = await converse(connection, asked);
    return { content: output.message.content, stopReason };
  };
  const { content, stopReason } = await finished();
  assert.equal(stopReason, 'tool_use');
  const uses = content.flatMap(({ toolUse }) => toolUse ?? []);
  const results = uses.map(({ toolUseId, input }) => ({ toolResult: { toolUseId, content: [{ text: RESULTS[input.city] }] } }));
  asked.messages.push({ role: 'assistant', content }, { role: 'user', content: results });
  assert.deepEqual(texts((await finished()).content), [WARMTH]);
}
check('tools', tools, CONNECTIONS, MODELS, [false, true]);

async function structured(connection, model) {
  const schema = {
    type: 'object',
    properties: { city: { type: 'string' }, celsius: { type: 'integer' } },
    required: ['city', 'celsius'],
    additionalProperties: false,
  };
  const jsonSchema = { name: 'seen', schema: JSON.stringify(schema) };
  const outputConfig = { textFormat: { type: 'json_schema', structure: { jsonSchema } } };
  const { output } = await converse(connection, { ...asking(model, 'Where?'), outputConfig });
  assert.deepEqual(JSON.parse(output.message.content[0].text), SEEN);
}
check('structured', structured, CONNECTIONS, MODELS);

async function embeddings(connection, modelId) {
  const asked = { modelId, contentType: 'application/json', body: JSON.stringify({ inputText: 'one', dimensions: 256 }) };
  assert.equal(read((await connection.of.send(new aws.InvokeModelCommand(asked))).body).embedding.length, 256);
}
check('embeddings', embeddings, CONNECTIONS, ['bedrock/amazon.titan-embed-text-v2:0']);

check('errors', async function errors(model) {
  const ask = (text, { asked = signed, named = model } = {}) => () => converse(asked, asking(named, text));
  const denied = await fails(aws.BedrockRuntimeServiceException, ask('hi', { asked: { of: withKey('sk-ms-wrong') } }), 403);
  assert.equal(denied.name, 'UnrecognizedClientException');
  const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: 'wrong' };
  const wrong = await fails(aws.BedrockRuntimeServiceException, ask('hi', { asked: { of: client(URL, { credentials }) } }), 403);
  assert.equal(wrong.name, 'InvalidSignatureException');
  await fails(aws.ResourceNotFoundException, ask('hi', { named: `${model}-not-there` }), 404);
  await fails(aws.ValidationException, ask('status 400'), 400);
  const limited = await fails(aws.ThrottlingException, ask('hi', { asked: { of: withKey(LIMITED_KEY) } }), 429);
  assert.ok(limited.$response.headers['retry-after'] > 0);
  const throttled = await fails(aws.ThrottlingException, ask('status 429 after 90', { named: special(model, 'throttled') }), 429);
  assert.equal(throttled.$response.headers['retry-after'], '90');
  await fails(aws.ServiceUnavailableException, ask('status 503', { named: special(model, 'broken') }), 503);
});

check('errors', async function errorsCut(model) {
  await fails(aws.ModelStreamErrorException, () => streamed(signed, asking(special(model, 'cut'), 'cut here')));
});

async function abortStream(connection, model) {
  const of = token(model);
  const leaving = new AbortController();
  const command = new aws.ConverseStreamCommand(asking(model, `forever ${of}`));
  const { stream } = await connection.of.send(command, { abortSignal: leaving.signal });
  for await (const event of stream) if (event.contentBlockDelta) break;
  leaving.abort();
  await left(of);
}
check('abort', abortStream, CONNECTIONS, MODELS);

async function abortWhole(connection, model) {
  const of = token(model);
  const command = new aws.ConverseCommand(asking(model, `forever ${of}`));
  const error = await fails(Error, () => connection.of.send(command, { abortSignal: whenBegun(of) }));
  assert.equal(error.name, 'AbortError');
  await left(of);
}
check('abort', abortWhole, CONNECTIONS, MODELS);

await run('AWS SDK (Node)', '@aws-sdk/client-bedrock-runtime');
