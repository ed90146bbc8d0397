// OpenAI's own client against a running halod: node client_test.mjs http://HOST:PORT
// Every check is by the client's types and exceptions; what it cannot parse fails here.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "unused", maxRetries: 0, timeout: 60_000 });
const model = (await client.models.list()).data[0].id;
const greedy = { model, temperature: 0 };
const ask = (content) => [{ role: "user", content }];
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather for a city.",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};

const checks = {
  async "lists the model"() {
    const listed = await client.models.list();
    assert.equal(listed.data.length, 1);
    assert.equal(listed.data[0].object, "model");
  },

  async "answers a chat with content, reasoning and usage"() {
    const answer = await client.chat.completions.create({ ...greedy, messages: ask("What is 47 + 125?") });
    assert.equal(answer.object, "chat.completion");
    assert.equal(answer.choices[0].message.content, "47 + 125 = 172.");
    assert.match(answer.choices[0].message.reasoning_content, /^7 \+ 5 = 12/);
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.ok(answer.usage.prompt_tokens > 10 && answer.usage.completion_tokens > 10);
    assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  },

  async "streams the same text and closes with usage"() {
    const body = { ...greedy, messages: ask("Count from 1 to 30.") };
    const whole = await client.chat.completions.create(body);
    const stream = await client.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } });
    let [text, n_chunks, finish_reason, usage] = ["", 0, null, null];
    for await (const chunk of stream) {
      n_chunks++;
      assert.equal(chunk.object, "chat.completion.chunk");
      text += chunk.choices[0]?.delta.content ?? "";
      finish_reason = chunk.choices[0]?.finish_reason ?? finish_reason;
      usage = chunk.usage ?? usage;
    }
    assert.equal(text, whole.choices[0].message.content);
    assert.ok(n_chunks > 2, `${n_chunks} chunks`);
    assert.equal(finish_reason, "stop");
    assert.deepEqual([usage.prompt_tokens, usage.completion_tokens], [whole.usage.prompt_tokens, whole.usage.completion_tokens]);
  },

  async "gets a long answer while it is made"() {
    const body = { model, prompt: "Count:", max_tokens: 800, ignore_eos: true, stream: true };
    let n_chunks = 0;
    for await (const chunk of await client.completions.create(body)) n_chunks += chunk.choices.length;
    // A reader slower than the model gets several tokens in one chunk, but not all of a tenth of a second's.
    assert.ok(n_chunks > 10, `${n_chunks} chunks of 800 tokens are no stream`);
  },

  async "calls a tool, streamed by the client's own accumulator, and uses its result"() {
    const messages = ask("What is the weather in Paris?");
    const runner = client.chat.completions.stream({ ...greedy, messages, tools: [weather] });
    const first = await runner.finalChatCompletion();
    assert.equal(first.choices[0].finish_reason, "tool_calls");
    const [call] = first.choices[0].message.tool_calls;
    assert.equal(call.type, "function");
    assert.equal(call.function.name, "get_weather");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "Paris" });
    assert.ok(call.id.length > 0);
    const second = await client.chat.completions.create({
      ...greedy,
      tools: [weather],
      messages: [...messages, first.choices[0].message,
        { role: "tool", tool_call_id: call.id, content: '{"temperature": 18, "condition": "sunny"}' }],
    });
    assert.equal(second.choices[0].message.content, "It is 18 degrees and sunny in Paris.");
    assert.equal(second.choices[0].finish_reason, "stop");
  },

  async "completes raw prompts, several at once, with log-probabilities"() {
    const completion = await client.completions.create({
      ...greedy, prompt: ["A, B, C, D,", "1, 2, 3, 4,"], max_tokens: 6, logprobs: 2,
    });
    assert.deepEqual(completion.choices.map((choice) => choice.index), [0, 1]);
    for (const choice of completion.choices) {
      assert.ok(choice.text.length > 0);
      assert.equal(choice.logprobs.tokens.length, choice.logprobs.token_logprobs.length);
      assert.ok(choice.logprobs.token_logprobs.every((logprob) => logprob <= 0));
    }
  },

  async "gives log-probabilities of a chat with the best alternatives in order"() {
    const answer = await client.chat.completions.create({
      ...greedy, messages: ask("Say the alphabet."), logprobs: true, top_logprobs: 3, max_tokens: 8,
    });
    assert.equal(answer.choices[0].finish_reason, "length");
    assert.equal(answer.choices[0].logprobs.content.length, 8);
    for (const token of answer.choices[0].logprobs.content) {
      assert.equal(token.top_logprobs.length, 3);
      assert.equal(token.top_logprobs[0].token, token.token);
      assert.ok(token.top_logprobs[0].logprob >= token.top_logprobs[1].logprob);
    }
  },

  async "stops at stop strings and at max_tokens"() {
    const stopped = await client.chat.completions.create({ ...greedy, messages: ask("Count from 1 to 30."), stop: [" 7,"] });
    assert.equal(stopped.choices[0].message.content, "1, 2, 3, 4, 5, 6,");
    assert.equal(stopped.choices[0].finish_reason, "stop");
    const cut = await client.chat.completions.create({ ...greedy, messages: ask("Count from 1 to 30."), max_tokens: 5 });
    assert.equal(cut.choices[0].finish_reason, "length");
    assert.equal(cut.usage.completion_tokens, 5);
  },

  async "repeats a seeded draw, and draws n different answers"() {
    const body = { model, temperature: 1.5, seed: 42, messages: ask("Tell me a story."), max_tokens: 40 };
    const [one, two] = await Promise.all([client.chat.completions.create(body), client.chat.completions.create(body)]);
    assert.equal(one.choices[0].message.content, two.choices[0].message.content);
    const several = await client.chat.completions.create({ ...body, n: 3 });
    assert.deepEqual(several.choices.map((choice) => choice.index), [0, 1, 2]);
    assert.ok(new Set(several.choices.map((choice) => choice.message.content)).size > 1);
  },

  async "throws the client's typed errors"() {
    await assert.rejects(client.chat.completions.create({ ...greedy, messages: ask("Hi"), top_p: 7 }),
      (error) => error instanceof OpenAI.BadRequestError && error.status === 400 && error.param === "top_p");
    await assert.rejects(client.chat.completions.create({ ...greedy, messages: ask("word ".repeat(3000)) }),
      (error) => error instanceof OpenAI.BadRequestError && error.code === "context_length_exceeded");
    await assert.rejects(client.chat.completions.create({ ...greedy, model: "no-such-model", messages: ask("Hi") }),
      (error) => error instanceof OpenAI.NotFoundError);
  },

  async "ends a stream that is aborted, and goes on serving"() {
    const stream = await client.chat.completions.create({
      ...greedy, messages: ask("Count from 1 to 100."), stream: true, logit_bias: { 1502: -100, 1500: -100 }, max_tokens: 900,
    });
    let n_chunks = 0;
    for await (const _ of stream) {
      if (++n_chunks === 5) stream.controller.abort();
    }
    assert.ok(n_chunks < 900);
    const answer = await client.chat.completions.create({ ...greedy, messages: ask("What is 47 + 125?") });
    assert.equal(answer.choices[0].message.content, "47 + 125 = 172.");
  },
};

let n_failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok      ${name}`);
  } catch (error) {
    n_failed++;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
console.log(`${Object.keys(checks).length - n_failed} passed, ${n_failed} failed`);
process.exit(n_failed ? 1 : 0);
