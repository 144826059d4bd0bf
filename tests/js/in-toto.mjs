// @ts-check
// The rules of an in-toto Statement v1 with SLSA provenance v1, as their protocol buffers and specifications say them: in-toto/attestation,
// protos/in_toto_attestation/v1/{statement,resource_descriptor}.proto and predicates/provenance/v1/provenance.proto; spec/v1/{statement,resource_descriptor,digest_set,
// field_types}.md; slsa-framework/slsa, spec/build-provenance.md. What is required there for SLSA Build L1 is required here.

/** @typedef {(value: any, path: string) => string[]} Rule */

/** @type {Rule} */
const text = (value, path) => (typeof value === "string" ? [] : [`${path}: not a text`]);
/** A TypeURI or ResourceURI: RFC 3986, with a scheme. @type {Rule} */
const uri = (value, path) => (typeof value === "string" && /^[a-z][a-z0-9+.-]*:[A-Za-z0-9\-._~:/?#[\]@!$&'()*+,;=%]+$/i.test(value) && !/%(?![0-9a-f]{2})/i.test(value) ? [] : [`${path}: not a URI`]);
/** @type {Rule} */
const timestamp = (value, path) => (/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/.test(value) ? [] : [`${path}: not a timestamp of RFC 3339`]);
/** google.protobuf.Struct: any object of JSON. @type {Rule} */
const struct = (value, path) => (typeof value === "object" && value !== null && !Array.isArray(value) ? [] : [`${path}: not an object`]);
/** @param {Rule} rule @returns {Rule} */
const list = (rule) => (value, path) => (Array.isArray(value) ? value.flatMap((one, at) => rule(one, `${path}[${at}]`)) : [`${path}: not a list`]);
/** @param {Rule} rule @returns {Rule} */
const map = (rule) => (value, path) => [...struct(value, path), ...Object.entries(value ?? {}).flatMap(([key, one]) => rule(one, `${path}.${key}`))];

/** A message: the fields that it may have, and those that it must. @param {Record<string, Rule>} fields @param {string[]} required @returns {Rule} */
const message = (fields, required = []) => (value, path) => {
  const wrong = struct(value, path);
  if (wrong.length > 0) return wrong;
  const missing = required.filter((name) => value[name] === undefined || value[name] === "").map((name) => `${path}: no ${name}`);
  // JSON of a protocol buffer has no other fields, and none that is null where it means nothing.
  const unknown = Object.keys(value).filter((name) => !Object.hasOwn(fields, name)).map((name) => `${path}: no field ${name} is known`);
  return [...missing, ...unknown, ...Object.entries(fields).flatMap(([name, rule]) => (value[name] === undefined ? [] : rule(value[name], `${path}.${name}`)))];
};

/** Bytes of the digests that are known by name; others may be called anything. @type {Record<string, number>} */
const DIGESTS = { sha256: 32, sha224: 28, sha384: 48, sha512: 64, sha1: 20, gitCommit: 20, dirHash: 32, md5: 16 };
/** @type {Rule} */
const digestSet = (value, path) => [
  ...map(text)(value, path),
  ...Object.entries(value ?? {}).filter(([name, hex]) => name in DIGESTS && !new RegExp(`^[0-9a-f]{${2 * /** @type {number} */ (DIGESTS[name])}}$`).test(String(hex))).map(([name]) => `${path}.${name}: of another length, or not hex`),
];

/** @type {Rule} */
const resource = (value, path) => [
  ...message({ name: text, uri, digest: digestSet, content: text, downloadLocation: uri, mediaType: text, annotations: struct })(value, path),
  ...(value?.name || value?.uri || Object.keys(value?.digest ?? {}).length > 0 ? [] : [`${path}: neither name, uri nor digest`]),
];

/** @type {Rule} */
const subject = (value, path) => [
  ...list(resource)(value, path),
  ...(Array.isArray(value) && value.length > 0 ? [] : [`${path}: at least one is required`]),
  // Artifacts are matched by digest, and names must tell them apart.
  ...(Array.isArray(value) ? value : []).flatMap((one, at) => (Object.keys(one?.digest ?? {}).length > 0 ? [] : [`${path}[${at}]: a digest is required`])),
  ...(new Set((Array.isArray(value) ? value : []).map((one) => one?.name)).size === value?.length ? [] : [`${path}: a name twice`]),
];

const provenance = message(
  {
    buildDefinition: message({ buildType: uri, externalParameters: struct, internalParameters: struct, resolvedDependencies: list(resource) }, ["buildType", "externalParameters"]),
    runDetails: message(
      {
        builder: message({ id: uri, version: map(text), builderDependencies: list(resource) }, ["id"]),
        metadata: message({ invocationId: text, startedOn: timestamp, finishedOn: timestamp }),
        byproducts: list(resource),
      },
      ["builder"],
    ),
  },
  ["buildDefinition", "runDetails"],
);

/** @type {Rule} */
const exactly = (value, path) => [
  ...(value?._type === "https://in-toto.io/Statement/v1" ? [] : [`${path}._type: another one`]),
  ...(value?.predicateType === "https://slsa.dev/provenance/v1" ? [] : [`${path}.predicateType: another one`]),
];

/** What of these rules a statement breaks. @param {unknown} statement */
export const faultsOf = (statement) => [...exactly(statement, "statement"), ...message({ _type: uri, subject, predicateType: uri, predicate: provenance }, ["_type", "subject", "predicateType", "predicate"])(statement, "statement")];
