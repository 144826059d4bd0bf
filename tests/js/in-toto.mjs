// @ts-check
// Holds a statement to what in-toto has published of it: the protocol buffers in tests/fixtures/in-toto/ (in-toto/attestation at commit 051624c,
// protos/in_toto_attestation/v1/{statement,resource_descriptor}.proto and predicates/provenance/v1/provenance.proto, Apache License 2.0) say which fields there are,
// of which types; a field that they do not name is refused. What they leave to their readers is below, from the specification: which fields are required
// (in-toto/attestation, spec/v1/{statement,resource_descriptor,digest_set,field_types}.md; SLSA 1.0, "Build: Provenance", for Build L1).
import { readFileSync } from "node:fs";

/** @typedef {{ name: string, type: string, repeated: boolean, map: string | undefined }} Field */
/** Messages by their full names: fields by their names in JSON. @type {Map<string, Map<string, Field>>} */
const MESSAGES = new Map();

/** Read the messages of a file. What is not understood is an error. @param {string} file */
function read(file) {
  const text = readFileSync(new URL(`../fixtures/in-toto/${file}.proto`, import.meta.url), "utf8").replace(/\/\/.*$/gm, "");
  const scope = /^\s*package\s+([\w.]+);/m.exec(text)?.[1];
  let rest = text.replace(/\b(syntax\s*=|package|import|option)[^;]*;/g, "");
  rest = rest.replace(/message\s+(\w+)\s*\{([^{}]*)\}/g, (_, name, body) => {
    /** @type {Map<string, Field>} */
    const fields = new Map();
    for (const line of body.split(";").map((/** @type {string} */ line) => line.trim()).filter(Boolean)) {
      const [, repeated, mapped, type, own, json] = /^(repeated\s+)?(?:map<string,\s*([\w.]+)>|([\w.]+))\s+(\w+)\s*=\s*\d+(?:\s*\[json_name\s*=\s*"([^"]+)"\])?$/.exec(line) ?? [];
      if (own === undefined) throw new Error(`${file}.proto: ${line}`);
      // proto3's mapping to JSON: lowerCamelCase, unless a name is given.
      const called = json ?? own.replace(/_([a-z])/g, (/** @type {string} */ _, /** @type {string} */ letter) => letter.toUpperCase());
      const full = (/** @type {string | undefined} */ type) => (type === undefined || type.includes(".") || SCALARS.has(type) ? type : `${scope}.${type}`);
      fields.set(called, { name: called, type: full(type) ?? "", repeated: repeated !== undefined, map: full(mapped) });
    }
    MESSAGES.set(`${scope}.${name}`, fields);
    return "";
  });
  if (rest.trim()) throw new Error(`${file}.proto: ${rest.trim()}`);
}

const SCALARS = new Set(["string", "bytes"]);
for (const file of ["statement", "resource_descriptor", "provenance"]) read(file);

const isObject = (/** @type {unknown} */ value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** What of proto3's mapping to JSON a value breaks that should be of this type. @param {any} value @param {string} type @param {string} path @returns {string[]} */
function typeFaults(value, type, path) {
  switch (type) {
    case "string":
      return typeof value === "string" ? [] : [`${path}: not a text`];
    case "bytes":
      return typeof value === "string" && /^[A-Za-z0-9+/_-]*={0,2}$/.test(value) ? [] : [`${path}: not base64`];
    case "google.protobuf.Struct":
      return isObject(value) ? [] : [`${path}: not an object`];
    case "google.protobuf.Timestamp":
      return /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/.test(value) ? [] : [`${path}: not a timestamp of RFC 3339`];
  }
  const fields = MESSAGES.get(type);
  if (!fields) throw new Error(`${type} is not defined`);
  if (!isObject(value)) return [`${path}: not an object`];
  return Object.entries(value).flatMap(([name, one]) => {
    const at = `${path}.${name}`;
    const field = fields.get(name);
    if (!field) return [`${at}: ${type} has no such field`];
    if (field.map !== undefined) return isObject(one) ? Object.entries(one).flatMap(([key, one]) => typeFaults(one, /** @type {string} */ (field.map), `${at}.${key}`)) : [`${at}: not an object`];
    if (field.repeated) return Array.isArray(one) ? one.flatMap((one, number) => typeFaults(one, field.type, `${at}[${number}]`)) : [`${at}: not a list`];
    return typeFaults(one, field.type, at);
  });
}

/** Bytes of the digests that are known by name; others may be called anything. @type {Record<string, number>} */
const DIGESTS = { sha256: 32, sha224: 28, sha384: 48, sha512: 64, sha1: 20, gitCommit: 20, dirHash: 32, md5: 16 };

/** A TypeURI or ResourceURI: RFC 3986, with a scheme. @param {any} value @param {string} path */
const uriFaults = (value, path) =>
  value === undefined || (typeof value === "string" && /^[a-z][a-z0-9+.-]*:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/i.test(value) && !/%(?![0-9a-f]{2})/i.test(value)) ? [] : [`${path}: not a URI`];

/** @param {any} value @param {string} path @param {string[]} names */
const missing = (value, path, names) => names.filter((name) => value?.[name] === undefined || value[name] === "").map((name) => `${path}: no ${name}`);

/** @param {any} resource @param {string} path */
const resourceFaults = (resource, path) => [
  ...(resource?.uri || Object.keys(resource?.digest ?? {}).length > 0 || resource?.content ? [] : [`${path}: neither uri, digest nor content`]),
  ...uriFaults(resource?.uri, `${path}.uri`),
  ...uriFaults(resource?.downloadLocation, `${path}.downloadLocation`),
  ...Object.entries(resource?.digest ?? {}).filter(([name, hex]) => name in DIGESTS && !new RegExp(`^[0-9a-f]{${2 * /** @type {number} */ (DIGESTS[name])}}$`).test(String(hex))).map(([name]) => `${path}.digest.${name}: of another length, or not hex`),
];

/** What the specification requires beyond types. @param {any} statement */
function specificationFaults(statement) {
  const { subject, predicate } = statement ?? {};
  const subjects = Array.isArray(subject) ? subject : [];
  const definition = predicate?.buildDefinition;
  const details = predicate?.runDetails;
  const resources = [definition?.resolvedDependencies, details?.byproducts, details?.builder?.builderDependencies];
  return [
    ...missing(statement, "statement", ["_type", "subject", "predicateType", "predicate"]),
    ...(statement?._type === "https://in-toto.io/Statement/v1" ? [] : ["statement._type: another one"]),
    ...(statement?.predicateType === "https://slsa.dev/provenance/v1" ? [] : ["statement.predicateType: another one"]),
    ...(subjects.length > 0 ? [] : ["subject: at least one is required"]),
    ...subjects.flatMap((one, at) => [...resourceFaults(one, `subject[${at}]`), ...(Object.keys(one?.digest ?? {}).length > 0 ? [] : [`subject[${at}]: a digest is required`])]),
    ...(new Set(subjects.map((one) => one?.name)).size === subjects.length ? [] : ["subject: a name twice"]),
    ...missing(predicate, "predicate", ["buildDefinition", "runDetails"]),
    ...missing(definition, "buildDefinition", ["buildType", "externalParameters"]),
    ...uriFaults(definition?.buildType, "buildDefinition.buildType"),
    ...missing(details, "runDetails", ["builder"]),
    ...missing(details?.builder, "builder", ["id"]),
    ...uriFaults(details?.builder?.id, "builder.id"),
    ...resources.flatMap((list) => (Array.isArray(list) ? list.flatMap((one, at) => resourceFaults(one, `resource[${at}]`)) : [])),
  ];
}

/** What of all this a statement breaks. @param {any} statement */
export const faultsOf = (statement) => [
  ...typeFaults(statement, "in_toto_attestation.v1.Statement", "statement"),
  // The statement's own definition leaves the predicate open.
  ...typeFaults(statement?.predicate, "in_toto_attestation.predicates.provenance.v1.Provenance", "predicate"),
  ...specificationFaults(statement),
];
