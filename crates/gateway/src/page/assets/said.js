// What a record says: from its payload to a role and blocks of text, calls and results. Pure.
//
// It knows the gateway's own kinds, and the lines of OpenClaw, pi, Claude Code, Codex and Gemini.
// What it does not know it shows as what it is: a line with its fields, a text, or bytes.

import { line as short } from "./format.js";

const ROLES = new Map(Object.entries({
  user: "user", human: "user",
  assistant: "assistant", model: "assistant", gemini: "assistant",
  system: "system", developer: "system", info: "system", warning: "system", error: "system",
  tool: "tool", toolResult: "tool", tool_result: "tool", function: "tool", bashExecution: "tool",
}));

/** Kinds that say nothing in the conversation: those of tools have a dot in their name. */
const isControl = (kind) => kind.includes(".") || kind === "heartbeat" || kind === "spawn";

/** Kinds that stand in the tree whether or not they name a parent. */
const NODES = new Set(["message", "compaction", "announce", "branch_summary", "custom_message"]);

const isText = (value) => typeof value === "string";
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const pretty = (value) => (isText(value) ? value : JSON.stringify(value, null, 2) ?? "");

/**
 * What a record says.
 *
 * `role` is none where it says nothing: then `brief` is one line about it. `node`: it stands in the
 * tree. `root`: its program says that it follows nothing. `target`: it moves the end of the
 * conversation to that key. `id`: a later line of the same id is an update of this one.
 */
export function said(record) {
  const kind = record.kind ?? "";
  const base = {
    role: null, blocks: [], from: null, label: kind || "record", brief: "", opaque: false,
    node: false, root: false, side: false, target: undefined, id: null,
  };
  if (!isText(record.payload)) {
    return { ...base, opaque: true, brief: "bytes that are no text", node: hasParent(record) };
  }
  const parsed = parse(record.payload);
  if (!isObject(parsed)) {
    if (isControl(kind)) return { ...base, brief: short(record.payload) };
    return { ...base, role: "note", blocks: [text(record.payload)], node: hasParent(record) };
  }
  if (isControl(kind)) return { ...base, brief: brief(parsed) };
  const found = spoken(kind, parsed);
  const node = NODES.has(kind) || hasParent(record) || found !== null;
  const root = parsed.parentId === null || parsed.parentUuid === null;
  const target = kind === "leaf" && isText(parsed.targetId) ? parsed.targetId : undefined;
  const side = parsed.appendMode === "side";
  return { ...base, brief: brief(parsed), ...found, node, root, side, target };
}

const hasParent = (record) => isText(record.parent);

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function spoken(kind, line) {
  if (isText(line.summary) && (kind === "compaction" || kind === "branch_summary")) {
    return { role: "summary", blocks: [text(line.summary)] };
  }
  if (kind === "custom_message" && line.content !== undefined) {
    return { role: "user", blocks: blocks(line.content), from: textOr(line.customType) };
  }
  if (kind === "event_msg") return null;
  if (kind === "compacted" && isText(line.payload?.message)) {
    return { role: "summary", blocks: [text(line.payload.message)] };
  }
  for (const inner of [line.message, line.payload, line]) {
    const found = isObject(inner) ? message(inner) ?? item(inner) : null;
    if (found) return found;
  }
  return typed(line);
}

// ---- one message ---------------------------------------------------------------------------

/** A message with a role of its own. */
function message(one) {
  const role = ROLES.get(one.role);
  if (one.role === "bashExecution") {
    return { role, blocks: [call("bash", one.command), result("bash", one.output, one.exitCode > 0)] };
  }
  if (isText(one.summary) && /summary$/iu.test(one.role ?? "")) {
    return { role: "summary", blocks: [text(one.summary)] };
  }
  const content = one.content ?? one.output;
  if (role === undefined) {
    if (!isText(one.role) || !(isText(content) || Array.isArray(content))) return null;
    const isExtension = one.role === "custom" || one.role === "hookMessage";
    return { role: isExtension ? "user" : "note", blocks: blocks(content), from: textOr(one.customType) ?? one.role };
  }
  if (role === "tool") {
    const name = textOr(one.toolName ?? one.name) ?? "tool";
    return { role, blocks: [result(name, flat(content), one.isError === true)], from: textOr(one.from) };
  }
  if (content === undefined || content === null) {
    const calls = openaiCalls(one);
    return calls.length > 0 ? { role, blocks: calls, from: textOr(one.from) } : null;
  }
  const parts = [...blocks(content), ...openaiCalls(one)];
  // A program that answers in the user's name with nothing but results speaks for its tools.
  const onlyResults = parts.length > 0 && parts.every((block) => block.type === "result");
  return { role: onlyResults ? "tool" : role, blocks: parts, from: textOr(one.from) };
}

const openaiCalls = (one) =>
  (Array.isArray(one.tool_calls) ? one.tool_calls : [])
    .filter((each) => isObject(each?.function))
    .map((each) => call(each.function.name, each.function.arguments));

/** An item of a response: a call, its output, a thought. */
function item(one) {
  switch (one.type) {
    case "function_call":
    case "custom_tool_call":
      return { role: "assistant", blocks: [call(one.name, one.arguments ?? one.input)] };
    case "local_shell_call":
      return { role: "assistant", blocks: [call("shell", one.action?.command?.join?.(" "))] };
    case "web_search_call":
      return { role: "assistant", blocks: [call("web search", one.action?.query)] };
    case "function_call_output":
    case "custom_tool_call_output":
    case "local_shell_call_output":
      return { role: "tool", blocks: [result("tool", output(one.output), one.output?.success === false)] };
    case "reasoning": {
      const thoughts = flat([...(one.summary ?? []), ...(one.content ?? [])]);
      return { role: "assistant", blocks: [thought(thoughts || "A thought that is not kept as text.")] };
    }
    default:
      return null;
  }
}

/** Codex wraps the output of a command into JSON of its own. */
function output(value) {
  if (isObject(value)) return flat(value.content ?? value.output ?? value);
  const inner = isText(value) && value.startsWith("{") ? parse(value) : undefined;
  return isText(inner?.output) ? inner.output : flat(value);
}

/** A line whose type says who speaks. */
function typed(line) {
  const role = ROLES.get(line.type);
  if (role === undefined || line.content === undefined || line.content === null) return null;
  const thoughts = (Array.isArray(line.thoughts) ? line.thoughts : [])
    .map((one) => thought([one?.subject, one?.description].filter(isText).join("\n")));
  const calls = (Array.isArray(line.toolCalls) ? line.toolCalls : []).flatMap(geminiCall);
  const content = blocks(line.content).filter((block) => block.text !== "");
  return { role, blocks: [...thoughts, ...content, ...calls], id: textOr(line.id) };
}

function geminiCall(one) {
  const name = textOr(one?.name) ?? "tool";
  const given = (Array.isArray(one?.result) ? one.result : [one?.result])
    .map((part) => part?.functionResponse?.response ?? part)
    .map((response) => response?.output ?? response?.error ?? response)
    .filter((response) => response !== undefined && response !== null);
  const shown = isText(one?.resultDisplay) ? one.resultDisplay : given.map(pretty).join("\n");
  return [call(name, one?.args), ...(shown ? [result(name, shown, one?.status === "error")] : [])];
}

// ---- blocks --------------------------------------------------------------------------------

const textOr = (value) => (isText(value) && value !== "" ? value : null);
const text = (value) => ({ type: "text", text: value });
const thought = (value) => ({ type: "thought", text: value });
const call = (name, input) => ({
  type: "call", name: textOr(name) ?? "tool", text: pretty(unpacked(input) ?? ""),
});
const result = (name, value, failed) => ({ type: "result", name, text: pretty(value ?? ""), failed });

/** Arguments that are JSON in a text. */
function unpacked(input) {
  const inner = isText(input) && input.startsWith("{") ? parse(input) : undefined;
  return inner ?? input;
}

function blocks(content) {
  if (isText(content)) return [text(content)];
  if (isObject(content)) return [block(content)];
  return Array.isArray(content) ? content.map(block) : [];
}

function block(one) {
  if (isText(one)) return text(one);
  if (!isObject(one)) return { type: "other", name: "value", text: pretty(one) };
  switch (one.type) {
    case "thinking":
    case "reasoning":
      return thought(textOr(one.thinking) ?? textOr(one.text) ?? "A thought that is not kept as text.");
    case "redacted_thinking":
      return thought("A thought that is not kept as text.");
    case "toolCall":
    case "tool_use":
    case "server_tool_use":
      return call(one.name, one.arguments ?? one.input);
    case "tool_result":
    case "toolResult":
      return result(textOr(one.toolName ?? one.name) ?? "tool", flat(one.content), one.is_error === true);
    case "image":
    case "input_image":
      return { type: "image", name: image(one), text: "" };
    default:
      if (isText(one.text)) return text(one.text);
      return { type: "other", name: textOr(one.type) ?? "block", text: pretty(one) };
  }
}

function image(one) {
  const type = textOr(one.mimeType) ?? textOr(one.source?.media_type) ?? "image";
  const data = textOr(one.data) ?? textOr(one.source?.data);
  return data ? `${type}, about ${Math.ceil((data.length * 3) / 4)} bytes` : type;
}

/** Content as one text. */
function flat(content) {
  if (content === undefined || content === null) return "";
  if (!Array.isArray(content)) return isText(content?.text) ? content.text : pretty(content);
  return blocks(content).map((one) => (one.type === "image" ? `[${one.name}]` : one.text)).join("\n");
}

// ---- what says nothing ---------------------------------------------------------------------

const PLAIN = new Set(["type", "id", "parentId", "uuid", "parentUuid", "timestamp", "sessionId", "version"]);

/** The fields of a line in one line. */
function brief(line) {
  const inner = isObject(line.payload) ? line.payload : line;
  const type = inner !== line && isText(inner.type) ? [inner.type] : [];
  const fields = Object.entries(inner)
    .filter(([name, value]) => !PLAIN.has(name) && value !== null && value !== "")
    .map(([name, value]) => `${name}: ${isText(value) ? value.slice(0, 300) : JSON.stringify(value)?.slice(0, 300)}`);
  return short([...type, ...fields].join(" · "));
}

/** All that is said as one text, for one line of it. */
export const plain = (told) => told.blocks
  .map((one) => (one.type === "call" || one.type === "result" ? `${one.name}: ${one.text}` : one.text))
  .join(" ");
