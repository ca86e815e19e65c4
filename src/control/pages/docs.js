// Shows openapi.json to people. Everything comes from that one file; nothing is loaded from another host.

const $ = (selector) => document.querySelector(selector);
const METHODS = ["get", "post", "put", "patch", "delete"];
// Every refusal has one of these forms.
const ERRORS = ["ErrorBody", "ProblemDetails"];
const JSON_TYPE = "application/json";
const DEPTH_MAX = 8; // schemas may refer to themselves

/** Makes an element; text is never read as markup. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function resolve(api, schema) {
  const path = schema?.$ref?.split("/").slice(1);
  return path ? path.reduce((place, key) => place?.[key], api) : schema;
}

/** A schema as lines like the JSON that it describes. */
function outline(api, given, indent = "", depth = 0) {
  const schema = resolve(api, given);
  if (!schema || depth > DEPTH_MAX) return "…";
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) {
    const real = choices.filter((choice) => choice.type !== "null");
    return real.map((choice) => outline(api, choice, indent, depth + 1)).join(" | ");
  }
  if (schema.allOf) return schema.allOf.map((part) => outline(api, part, indent, depth + 1)).join(" & ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  const types = [schema.type ?? "any"].flat().filter((type) => type !== "null");
  if (types.includes("array")) return `[${outline(api, schema.items, indent, depth + 1)}, …]`;
  if (!schema.properties) return types.join(" | ");
  const inner = `${indent}  `;
  const lines = Object.entries(schema.properties).map(([name, property]) => {
    const mark = schema.required?.includes(name) ? "" : "?";
    const about = (property.description ?? resolve(api, property)?.description ?? "").split("\n")[0];
    const note = about ? `  // ${about}` : "";
    return `${inner}${name}${mark}: ${outline(api, property, inner, depth + 1)}${note}`;
  });
  return lines.length ? `{\n${lines.join("\n")}\n${indent}}` : "{}";
}

function schemaOf(content) {
  return Object.values(content ?? {})[0]?.schema;
}

/** The types of a body, where they are not JSON. */
function typesOf(content) {
  const types = Object.keys(content ?? {}).filter((type) => type !== JSON_TYPE);
  return types.length ? `, ${types.join(" or ")}` : "";
}

function section(title, ...content) {
  return [make("h4", "", title), ...content];
}

function parameters(operation) {
  const list = operation.parameters ?? [];
  if (!list.length) return [];
  const rows = list.flatMap((parameter) => [
    make("dt", "", parameter.name, parameter.required ? "" : "?"),
    make("dd", "", parameter.description ?? "", make("span", "quiet", ` ${parameter.in}`)),
  ]);
  return section("Parameters", make("dl", "", ...rows));
}

function responses(api, operation) {
  const rows = Object.entries(operation.responses ?? {}).flatMap(([status, response]) => {
    const known = resolve(api, response);
    const schema = schemaOf(known.content);
    const isError = ERRORS.includes(schema?.$ref?.split("/").at(-1));
    const body = schema && !isError ? make("pre", "", outline(api, schema)) : null;
    const types = isError ? null : make("span", "quiet", typesOf(known.content));
    return [make("dt", "", status), make("dd", "", known.description ?? "", types, body)];
  });
  return section("Responses", make("dl", "", ...rows));
}

function article(api, path, method, operation) {
  const request = schemaOf(operation.requestBody?.content);
  const isOpen = operation.security?.some((need) => Object.keys(need).length === 0);
  return make(
    "article",
    "",
    make("h3", "", make("span", `method ${method}`, method.toUpperCase()), path),
    make("p", "", operation.summary ?? ""),
    operation.description ? make("p", "quiet", operation.description) : null,
    isOpen ? make("p", "quiet", "Needs no secret.") : null,
    ...parameters(operation),
    ...(request ? section(`Body${typesOf(operation.requestBody.content)}`, make("pre", "", outline(api, request))) : []),
    ...responses(api, operation),
  );
}

function show(api) {
  $("#version").textContent = api.info.version;
  $("#about").textContent = api.info.description ?? "";
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const tag = item[method].tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, operation: item[method] });
    }
  }
  for (const [tag, entries] of groups) {
    const links = make("div", "", make("h2", "", tag));
    const shown = make("section", "", make("h2", "", tag));
    for (const { path, method, operation } of entries) {
      const element = article(api, path, method, operation);
      element.id = operation.operationId;
      const link = make("a", "", operation.operationId);
      link.href = `#${operation.operationId}`;
      link.dataset.text = element.dataset.text = `${method} ${path} ${operation.operationId}`.toLowerCase();
      links.append(link);
      shown.append(element);
    }
    $("#index").append(links);
    $("#operations").append(shown);
  }
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

$("#filter").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const element of document.querySelectorAll("[data-text]")) {
    element.hidden = !element.dataset.text.includes(wanted);
  }
  for (const group of document.querySelectorAll("#index > div, #operations > section")) {
    group.hidden = !group.querySelector("[data-text]:not([hidden])");
  }
});

try {
  const response = await fetch("openapi.json");
  show(await response.json());
} catch (error) {
  $("#about").textContent = `The description cannot be read: ${error.message}`;
}
