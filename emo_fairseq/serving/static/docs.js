// The description of the API, as /openapi.json has it: addresses, fields and objects.

import { at, element } from "./elements.js";

async function start() {
  try {
    const response = await fetch("/openapi.json");
    if (!response.ok) throw new Error(`The server responded with status ${response.status}.`);
    show(await response.json());
  } catch (error) {
    at("problem").hidden = false;
    at("problem").textContent = error.message;
  }
}

function show({ info, paths, components }) {
  at("about").textContent = info.description;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), ...operation })));
  at("contents").append(...operations.map(({ path, method, operationId }) =>
    element("li", {}, element("a", { href: `#${operationId}` }, `${method} ${path}`))));
  at("operations").append(...operations.map(operationOf));
  at("schemas").append(...Object.entries(components.schemas).map(([name, schema]) => schemaOf(name, schema)));
}

function operationOf({ path, method, operationId, summary, security, requestBody, responses }) {
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { schema }]) =>
    element("p", {}, `Body, ${type}: `, ...typeOf(schema)));
  const rows = Object.entries(responses).map(([status, { description, content = {} }]) => [
    status, description, Object.values(content).flatMap(({ schema }) => typeOf(schema)),
  ]);
  return element("section", { id: operationId, "aria-labelledby": `${operationId}-heading` },
    element("h2", { id: `${operationId}-heading` }, element("code", {}, `${method} ${path}`)),
    element("p", {}, summary),
    security ? element("p", { class: "soft small" }, "Needs a token: Authorization: Bearer TOKEN.") : null,
    ...bodies, table("Responses", ["status", "meaning", "content"], rows));
}

function schemaOf(name, { description, properties = {}, required = [] }) {
  const rows = Object.entries(properties).map(([field, schema]) => [
    field, typeOf(schema), required.includes(field) ? "always" : "", [schema.description, ...bounds(schema)].filter(Boolean).join(" "),
  ]);
  return element("section", { id: `schema-${name}`, "aria-labelledby": `schema-${name}-heading` },
    element("h3", { id: `schema-${name}-heading` }, name), element("p", {}, description ?? ""),
    ...(rows.length ? [table(`Fields of ${name}`, ["field", "type", "given", "meaning"], rows)] : []));
}

function bounds(schema) {
  const own = [schema, ...(schema.anyOf ?? [])];
  const found = own.flatMap(({ minimum, maximum, maxLength, pattern }) => [
    minimum === undefined ? "" : `At least ${minimum}.`, maximum === undefined ? "" : `At most ${maximum}.`,
    maxLength === undefined ? "" : `At most ${maxLength} characters.`, pattern === undefined ? "" : `Matches ${pattern}.`,
  ]);
  return found.filter(Boolean);
}

// A type in words; objects are links.
function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split("/").at(-1);
    return [element("a", { href: `#schema-${name}` }, name)];
  }
  if (schema.anyOf) return schema.anyOf.flatMap((one, i) => (i ? [" or ", ...typeOf(one)] : typeOf(one)));
  if (schema.enum) return [schema.enum.map((value) => JSON.stringify(value)).join(", ")];
  if (schema.const !== undefined) return [JSON.stringify(schema.const)];
  if (schema.type === "array") return ["list of ", ...typeOf(schema.items)];
  if (schema.type === "object") return ["object of ", ...(schema.additionalProperties ? typeOf(schema.additionalProperties) : ["values"])];
  if (schema.format === "binary") return ["file"];
  if (schema.contentEncoding) return [`string, ${schema.contentEncoding}`];
  return [schema.type ?? "any"];
}

function table(caption, header, rows) {
  const cell = (tag, content) => element(tag, tag === "th" ? { scope: "col" } : {}, ...[content].flat());
  const line = (tag, row) => element("tr", {}, ...row.map((content) => cell(tag, content)));
  return element("div", { class: "numbers fields", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {}, element("thead", {}, line("th", header)), element("tbody", {}, ...rows.map((row) => line("td", row)))));
}

start();
