// Shows openapi.json to people. Everything comes from that one file; nothing is loaded from another host.

const $ = (selector) => document.querySelector(selector);
const METHODS = ["get", "post", "put", "patch", "delete"];
// Every refusal has one of these forms.
const ERRORS = ["ErrorBody", "ProblemDetails"];
const JSON_TYPE = "application/json";
const MANY = 6; // operations that are not named one by one
const DEPTH_MAX = 8; // schemas may refer to themselves

/** Makes an element; text is never read as markup. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Text of the description: what stands between backticks is code. */
function prose(text) {
  const parts = (text ?? "").split("`").map((part, at) => (at % 2 ? make("code", "", part) : part));
  return make("span", "", ...parts);
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

/** A path that a narrow column breaks between its parts. */
function pathElement(path) {
  const parts = path.split(/(?=\/)/).flatMap((part) => [document.createElement("wbr"), part]);
  return make("span", "path", ...parts);
}

function section(title, ...content) {
  return [make("h4", "", title), ...content];
}

function parameters(operation) {
  const list = operation.parameters ?? [];
  if (!list.length) return [];
  const rows = list.flatMap((parameter) => [
    make("dt", "", parameter.name, parameter.required ? "" : "?"),
    make("dd", "", prose(parameter.description), make("span", "quiet", ` ${parameter.in}`)),
  ]);
  return section("Parameters", make("dl", "", ...rows));
}

/** The body of a response if it is a refusal: these have few forms, which are shown once. */
function isRefusal(status, response) {
  const schema = schemaOf(response.content);
  return Number(status) >= 400 && (!schema || ERRORS.includes(schema.$ref?.split("/").at(-1)));
}

/** What the operation answers when it does what was asked. */
function successes(api, operation) {
  const rows = Object.entries(operation.responses ?? {}).flatMap(([status, given]) => {
    const response = resolve(api, given);
    if (isRefusal(status, response)) return [];
    const schema = schemaOf(response.content);
    const headers = Object.keys(response.headers ?? {});
    return [
      make("dt", "", status),
      make(
        "dd",
        "",
        prose(response.description),
        make("span", "quiet", typesOf(response.content)),
        headers.length ? make("span", "quiet", `, header ${headers.join(", ")}`) : null,
        schema ? fields(api, schema) : null,
      ),
    ];
  });
  return section("Answers", make("dl", "", ...rows));
}

/** Links to where its refusals are explained; what is said of one here alone stays here. */
function refusals(api, operation, explained) {
  const known = Object.entries(operation.responses ?? {}).map(([status, given]) => [status, resolve(api, given)]);
  const links = known.filter(([status, response]) => isRefusal(status, response)).flatMap(([status, response]) => {
    if (!explained.has(status)) explained.set(status, new Map());
    const meanings = explained.get(status);
    meanings.set(response.description, [...(meanings.get(response.description) ?? []), operation.operationId]);
    const link = make("a", "", status);
    link.href = `#error-${status}`;
    return [link, " "];
  });
  return links.length ? [make("p", "quiet refusals", "Refusals: ", ...links)] : [];
}

/** All members of a body, folded: the example above it mostly does. */
function fields(api, schema) {
  const text = outline(api, schema);
  if (!text.includes("\n")) return make("code", "", ` ${text}`);
  return make("details", "", make("summary", "", "All members"), make("pre", "", text));
}

const written = (value) => (typeof value === "string" ? value.replaceAll("\r\n", "\n") : JSON.stringify(value, null, 2));

/** Text in a pair of quotes that a shell takes as it is. */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Where the API is: a proxy may have put it below a path. */
const rootOf = (api) => new URL(api.servers?.[0]?.url ?? "/", location.href).href.replace(/\/$/, "");

/** A command that makes this call: with the values of the examples, to be replaced by real ones. */
function command(api, path, method, operation, type, value) {
  const example = (name) => operation.parameters?.find((parameter) => parameter.name === name)?.example ?? name;
  const filled = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(example(name)));
  const isOpen = operation.security?.some((need) => Object.keys(need).length === 0);
  const lines = [`curl -X ${method.toUpperCase()} ${quoted(rootOf(api) + filled)}`];
  if (!isOpen) lines.push('-H "Authorization: Bearer $SECRET"');
  if (value !== undefined && type !== JSON_TYPE) lines.push(`-H 'Content-Type: ${type}'`);
  // A description of a session is one line for each attribute, ended as a mail is.
  if (typeof value === "string") lines.push(`--data-binary $${quoted(value.replaceAll("\r\n", "\\r\\n"))}`);
  else if (value !== undefined) lines.push(`-d ${quoted(JSON.stringify(value, null, 2))}`);
  return lines.join(" \\\n  ");
}

/** Each example with its request and what comes back. */
function examples(api, path, method, operation) {
  const requests = new Map();
  for (const [type, content] of Object.entries(operation.requestBody?.content ?? {})) {
    for (const [name, { summary, value }] of Object.entries(content.examples ?? {})) requests.set(name, { type, summary, value });
  }
  const replies = new Map();
  for (const [status, given] of Object.entries(operation.responses ?? {})) {
    for (const content of Object.values(resolve(api, given).content ?? {})) {
      for (const [name, { summary, value }] of Object.entries(content.examples ?? {})) replies.set(name, { status, summary, value });
    }
  }
  const names = [...new Set([...requests.keys(), ...replies.keys()])];
  if (!names.length) names.push("");
  return names.flatMap((name) => {
    const [request, reply] = [requests.get(name), replies.get(name)];
    const title = request?.summary ?? reply?.summary ?? "Example";
    return section(
      title,
      make("pre", "call", command(api, path, method, operation, request?.type, request?.value)),
      reply ? make("pre", "reply", make("span", "quiet", `${reply.status}\n`), written(reply.value)) : null,
    );
  });
}

function article(api, path, method, operation, explained) {
  const request = schemaOf(operation.requestBody?.content);
  const isOpen = operation.security?.some((need) => Object.keys(need).length === 0);
  return make(
    "article",
    "",
    make("h3", "", make("span", `method ${method}`, method.toUpperCase()), pathElement(path)),
    make("p", "", prose(operation.summary)),
    operation.description ? make("p", "quiet", prose(operation.description)) : null,
    isOpen ? make("p", "quiet", "Needs no secret.") : null,
    ...examples(api, path, method, operation).filter(Boolean),
    ...parameters(operation),
    ...(request ? section(`Body${typesOf(operation.requestBody.content)}`, fields(api, request)) : []),
    ...successes(api, operation),
    ...refusals(api, operation, explained),
  );
}

/** Every refusal once: what it means, and its body. */
function showErrors(api, explained) {
  const articles = [...explained].sort().map(([status, meanings]) => {
    // What nearly all say is said without naming them.
    const rows = [...meanings].sort(([, a], [, b]) => b.length - a.length).map(([text, operations]) => {
      const links = operations.flatMap((id) => {
        const link = make("a", "", id);
        link.href = `#${id}`;
        return [" ", link];
      });
      return make("p", "", prose(text || "Refused"), ...(operations.length > MANY ? [] : links));
    });
    const element = make("article", "", make("h3", "", make("span", "method refused", status)), ...rows);
    element.id = `error-${status}`;
    return element;
  });
  const bodies = ERRORS.filter((name) => api.components?.schemas?.[name]).map((name) =>
    make("pre", "", outline(api, { $ref: `#/components/schemas/${name}` })),
  );
  const shown = make("section", "", make("h2", "", "Refusals"), make("p", "", "The body of a refusal has one of these forms:"), ...bodies, ...articles);
  shown.id = "refusals";
  $("#operations").append(shown);
  const link = make("a", "", "Refusals");
  link.href = "#refusals";
  $("#index").append(make("div", "", make("h2", "", "All"), link));
}

function show(api) {
  $("#version").textContent = api.info.version;
  $("#about").replaceChildren(prose(api.info.description));
  const groups = new Map((api.tags ?? []).map((tag) => [tag.name, []]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((method) => item[method])) {
      const tag = item[method].tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push({ path, method, operation: item[method] });
    }
  }
  const explained = new Map();
  // Whatever is made comes before what is done to it.
  for (const entries of groups.values()) entries.sort((a, b) => b.path.endsWith("/new") - a.path.endsWith("/new"));
  for (const [tag, entries] of groups) {
    const links = make("div", "", make("h2", "", tag));
    const shown = make("section", "", make("h2", "", tag));
    for (const { path, method, operation } of entries) {
      const element = article(api, path, method, operation, explained);
      element.id = operation.operationId;
      const short = path.replace(/^\/v1\/(apps|turn\/keys)\/\{\w+\}/, "");
      const link = make("a", "", make("span", `method ${method}`, method.toUpperCase()), pathElement(short));
      link.href = `#${operation.operationId}`;
      link.title = operation.summary ?? "";
      link.dataset.text = element.dataset.text = `${method} ${path} ${operation.operationId}`.toLowerCase();
      links.append(link);
      shown.append(element);
    }
    $("#index").append(links);
    $("#operations").append(shown);
  }
  showErrors(api, explained);
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

// On a narrow screen the index is folded, and folds again behind a choice.
const contents = $("#contents");
const isNarrow = matchMedia("(max-width: 50rem)");
const fold = () => (contents.open = !isNarrow.matches);
isNarrow.addEventListener("change", fold);
fold();
$("#index").addEventListener("click", ({ target }) => {
  if (isNarrow.matches && target.closest("a")) contents.open = false;
});

$("#filter").addEventListener("input", ({ target }) => {
  const wanted = target.value.trim().toLowerCase();
  for (const element of document.querySelectorAll("[data-text]")) {
    element.hidden = !element.dataset.text.includes(wanted);
  }
  for (const group of document.querySelectorAll("#index > div, #operations > section:not(#refusals)")) {
    group.hidden = group.querySelector("[data-text]") && !group.querySelector("[data-text]:not([hidden])");
  }
});

try {
  const response = await fetch("openapi.json");
  show(await response.json());
} catch (error) {
  $("#about").textContent = `The description cannot be read: ${error.message}`;
}
