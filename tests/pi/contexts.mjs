// What the real pi makes of session files: `node contexts.mjs PACKAGE FILE…` prints a line of JSON for
// each file. pi may rewrite a file that it opens, so these are copies.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, ...files] = process.argv.slice(2);
const module = path.join(folder, "dist/core/session-manager.js");
const { SessionManager } = await import(pathToFileURL(module).href);

// Half a character has no place in the JSON of others: it is written out.
const whole = (_key, value) =>
  typeof value === "string"
    ? value.replace(/\p{Surrogate}/gu, (half) => `<half ${half.charCodeAt(0).toString(16)}>`)
    : value;

for (const file of files) {
  const before = fs.readFileSync(file);
  const manager = SessionManager.open(file);
  const answer = {
    file,
    session: manager.getSessionId(),
    name: manager.getSessionName() ?? null,
    leaf: manager.getLeafId(),
    entries: manager.getEntries(),
    context: manager.buildSessionContext(),
    rewritten: !fs.readFileSync(file).equals(before),
  };
  process.stdout.write(JSON.stringify(answer, whole) + "\n");
}
