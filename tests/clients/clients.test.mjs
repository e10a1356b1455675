// The OpenAI package and the Vercel AI SDK with nothing but a base URL set.

import assert from "node:assert/strict";
import { test } from "node:test";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, streamText } from "ai";
import OpenAI from "openai";
import { z } from "zod";

const baseURL = `${process.env.CLIENTS_URL}/v1`;
const problem = "Modulo 100, start with 63.\n1) *28 +29\n2) digits\n3) *22\n4) *26\nWhat comes out?";
const messages = [{ role: "user", content: problem }];
const right = /\\boxed\{64\}/;
const schema = z.strictObject({ answer: z.number().int().min(0).max(99) });

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = { model: "specreason", messages, temperature: 0 };

test("openai chats, streams and gives objects", async () => {
  const reply = await client.chat.completions.create(asked);
  assert.match(reply.choices[0].message.content, right);
  let streamed = "";
  for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
    streamed += chunk.choices[0]?.delta.content ?? "";
  }
  assert.equal(streamed, reply.choices[0].message.content);
  const format = { type: "json_schema", json_schema: { name: "result", schema: z.toJSONSchema(schema) } };
  const formed = await client.chat.completions.create({ ...asked, response_format: format });
  schema.parse(JSON.parse(formed.choices[0].message.content));
});

test("openai brings tools", async () => {
  const one = { type: "function", function: { name: "one", function: () => 1, parameters: { type: "object" } } };
  const runner = client.chat.completions.runTools({ ...asked, tools: [one] });
  assert.match(await runner.finalContent(), right);
});

test("openai responds", async () => {
  const response = await client.responses.create({ model: "specreason", input: problem, temperature: 0 });
  assert.match(response.output_text, right);
});

const compatible = createOpenAICompatible({
  name: "specreason",
  baseURL,
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const quiet = { prompt: problem, temperature: 0, maxRetries: 0 };

test("the AI SDK tells the thinking once", async () => {
  const whole = await generateText({ model: compatible("specreason"), ...quiet });
  assert.match(whole.text, right);
  const counts = {};
  let thought = "";
  for await (const part of streamText({ model: compatible("specreason"), ...quiet }).fullStream) {
    counts[part.type] = (counts[part.type] ?? 0) + 1;
    if (part.type === "reasoning-delta") thought += part.text;
  }
  assert.equal(counts["reasoning-start"], 1);
  assert.equal(counts.error, undefined);
  assert.equal(thought, whole.reasoningText);
});

test("the AI SDK gives objects", async () => {
  const made = await generateObject({ model: compatible("specreason"), ...quiet, schema });
  schema.parse(made.object);
});

test("the AI SDK's OpenAI provider works with its default, the Responses API", async () => {
  const model = createOpenAI({ baseURL, apiKey: "none" })("specreason");
  assert.match((await generateText({ model, ...quiet })).text, right);
  let text = "";
  for await (const part of streamText({ model, ...quiet }).textStream) text += part;
  assert.match(text, right);
  schema.parse((await generateObject({ model, ...quiet, schema })).object);
});
