// From a recording and a text to the inputs of a graph, and from its outputs to scores, by model.yaml.
// Runs in Node and in the browser: `ort` is onnxruntime-node or onnxruntime-web.

/** Return the ids of a text, with the first and the last token of the model around them. */
function tokenize(text, described, tokenizer) {
  const { ids } = tokenizer.encode(text, { add_special_tokens: false });
  const kept = ids.slice(0, described.max_tokens - 2);
  return [described.first_token, ...kept, described.last_token];
}

/** Return the tensors of one row: the content, no padding, and whether the row has it. */
function row(ort, modality, name, type, content, isPresent) {
  const shape = [1, content.length];
  return {
    [name]: new ort.Tensor(type, content, shape),
    [`${modality}.padding_mask`]: new ort.Tensor("bool", new Uint8Array(content.length), shape),
    [`${modality}.present`]: new ort.Tensor("bool", Uint8Array.of(isPresent ? 1 : 0), [1]),
  };
}

/**
 * Return the inputs of a graph.
 *
 * @param ort the library.
 * @param model content of model.yaml.
 * @param samples Float32Array of a recording at the model's rate; undefined without.
 * @param text what is said; undefined without.
 * @param tokenizer of the folder's text/tokenizer.json; needed for a text.
 */
export function feedsOf(ort, model, { samples, text, tokenizer }) {
  const feeds = {};
  for (const [modality, described] of Object.entries(model.modalities)) {
    if (modality === "text") {
      const ids =
        text === undefined
          ? [described.first_token, described.last_token]
          : tokenize(text, described, tokenizer);
      const content = BigInt64Array.from(ids, BigInt);
      Object.assign(feeds, row(ort, modality, described.input, "int64", content, text !== undefined));
    } else if (described.sample_rate !== undefined) {
      const read = (samples ?? new Float32Array(described.min_samples)).slice(0, described.max_samples);
      if (read.length < described.min_samples) {
        throw new Error(`the recording is shorter than ${described.min_samples} samples`);
      }
      Object.assign(feeds, row(ort, modality, described.input, "float32", read, samples !== undefined));
    } else {
      throw new Error(`${modality}: ${described.outside}`);
    }
  }
  return feeds;
}

function softmax(logits) {
  const highest = Math.max(...logits);
  const powers = logits.map((x) => Math.exp(x - highest));
  const sum = powers.reduce((total, x) => total + x, 0);
  return powers.map((x) => x / sum);
}

/** Return the score of each label or axis; `scores` of model.yaml has the rule in words. */
export function scoresOf(model, logits) {
  const names = model.labels ?? model.axes;
  let scores = logits;
  if (model.target === "binary_emotion") {
    scores = names.map((_, k) => softmax(logits.slice(2 * k, 2 * k + 2))[1]);
  } else if (model.labels) {
    scores = softmax(logits);
  }
  return Object.fromEntries(names.map((name, k) => [name, scores[k]]));
}

/** Run a graph on one row; return logits and scores. */
export async function predict(ort, session, model, inputs) {
  const feeds = feedsOf(ort, model, inputs);
  const named = Object.fromEntries(session.inputNames.map((name) => [name, feeds[name]]));
  const outputs = await session.run(named);
  const logits = Array.from(outputs.logits.data);
  return { logits, scores: scoresOf(model, logits) };
}
